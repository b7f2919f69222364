"""One pass of a text through a model, with every result and every gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.errors import GenerationError
from llm_explainer.generation.prompts import Prompt
from llm_explainer.plain.contract import Array, Record
from llm_explainer.plain.model import gpt
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tracing.reading import check_memory, piece_of, read_ids, read_parameters
from llm_explainer.tracing.target import Target, log_softmax
from llm_explainer.tracing.threads import threads_for
from llm_explainer.tree import Tree, flatten

Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class Trace:
    """Everything that happened. T tokens, V = vocab_size; arrays are not to be written to.

    ``activations`` and ``gradients`` have the names and shapes that ``plain/model.py`` lists, less
    the first axis, B: there is one text. A gradient is the target's, by that result.
    """

    config: ModelConfig
    parameters: Tree  # as used: adapters merged, of the trace's type
    ids: Array  # (T,)
    pieces: tuple[bytes, ...]  # of each token, perhaps parts of characters
    target: Target
    value: float  # the target's
    activations: dict[str, Array]
    gradients: dict[str, Array]  # in the order of the forward pass
    parameter_gradients: Tree  # nested like the parameters

    @property
    def n_tokens(self) -> int:
        """T."""
        return len(self.ids)

    def parameter(self, name: str) -> Array:
        """Return a parameter by its dotted name, such as "blocks.0.attention.qkv_proj.weight"."""
        array: Array = self._flat_parameters[name]
        return array

    @cached_property
    def _flat_parameters(self) -> dict[str, Array]:
        return flatten(self.parameters)

    @property
    def logits(self) -> Array:
        """Scores (T, V) of every next token."""
        return self.activations["logits"]

    @cached_property
    def probabilities(self) -> Array:
        """p of every next token, (T, V); rows sum to 1."""
        probabilities: Array = np.exp(log_softmax(self.logits))
        return probabilities

    @cached_property
    def losses(self) -> Array:
        """-log p(the token that came next), (T-1,), in nats: the first is token 1's, after token 0.

        None of the first token: nothing comes before it.
        """
        scores = log_softmax(self.logits[:-1])  # (T-1, V)
        losses: Array = -np.take_along_axis(scores, self.ids[1:, None], -1)[:, 0]
        return losses

    @property
    def loss(self) -> float | None:
        """The mean of ``losses``, in nats; None of a single token."""
        return float(self.losses.mean()) if len(self.losses) else None


def trace(
    model: Any,
    tokenizer: Tokenizer,
    text: Prompt,
    *,
    target: Target | None = None,
    dtype: Precision = "float32",
) -> Trace:
    """Run a text through a model and back, and keep all there is.

    Args:
        model: of either backend; adapters are merged for it.
        tokenizer: the model's.
        text: a text, or its ids.
        target: what gradients are of; by default the loss, for a single token the log-probability
            of the likeliest next one.
        dtype: what it is computed in.

    Raises:
        GenerationError: an empty text, a longer one than the context or the memory holds, a target
            that it lacks; results or gradients that are not finite.
        TokenizerError: text that the tokenizer cannot encode.
    """
    parameters, config = read_parameters(model, dtype)
    ids = read_ids(tokenizer, text, config)
    check_memory(config, len(ids), dtype)
    if target is not None:
        target = target.checked(len(ids), config.vocab_size)
    activations: dict[str, Array] = {}
    with threads_for(config), np.errstate(over="ignore", invalid="ignore"):  # which is checked
        logits, backward = gpt(ids[None], parameters, config, _into(activations))  # (1, T, V)
    _check("results", activations)
    if target is None:
        likeliest = int(logits[0, -1].argmax())
        chosen = Target.loss() if len(ids) > 1 else Target.log_probability(0, likeliest)
        target = chosen
    gradients: dict[str, Array] = {}
    dlogits = target.gradient(logits[0], ids)  # (T, V)
    with threads_for(config), np.errstate(over="ignore", invalid="ignore"):
        parameter_gradients = backward(dlogits[None], _into(gradients))
    _check("gradients", gradients | flatten(parameter_gradients))
    return Trace(
        config=config,
        parameters=parameters,
        ids=ids,
        pieces=tuple(piece_of(tokenizer, int(token)) for token in ids),
        target=target,
        value=float(target.values(logits[:, target.rows], ids)[0]),
        activations=activations,
        gradients={name: gradients[name] for name in activations},
        parameter_gradients=parameter_gradients,
    )


def _check(what: str, arrays: dict[str, Array]) -> None:
    """Refuse arrays in which anything is no finite number.

    Raises:
        GenerationError: says which.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise GenerationError(
                f"the model's {what} for this text are not finite, first {name}: its weights are "
                "damaged, or too large"
            )


def _into(kept: dict[str, Array]) -> Record:
    """Return a ``record`` that keeps arrays without the axis of the batch."""

    def record(name: str, array: Array) -> None:
        shared = name == "position_embedding"  # (T, D): the same for each text
        kept[name] = array if shared else array[0]

    return record
