"""``/v1/explain``: what a model does with a text, as numbers: those of the explorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_explainer.server.served import Served
from llm_explainer.server.web.asking import choose_model
from llm_explainer.server.web.fields import Fields, refused
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.logprobs import token_text
from llm_explainer.server.web.parameters import refuse_unknown
from llm_explainer.server.web.problems import Problem
from llm_explainer.server.web.prompts import read_prompts

MOST_TOKENS = 512
"""Longer texts would have all others wait: a pass with every result takes its time."""

MOST_TOP = 50


def read_explanation(values: dict[str, Any], limits: Limits) -> Callable[[], dict[str, Any]]:
    """Return what makes the explanation that a request asks for, on the model's thread.

    ``prompt`` is one text or its ids. ``token``, by default the likeliest after ``position``, by
    default the last, has its score split up, beside that of ``against``: ids. ``top`` is how many
    tokens each layer names.

    Raises:
        Problem: a parameter that is unknown or cannot be so.
    """
    refuse_unknown(values, ("model", "prompt", "position", "token", "against", "top"))
    fields = Fields(values)
    served = choose_model(fields, limits.models)
    prompts = read_prompts(fields.get("prompt"), served)
    if len(prompts) != 1:
        raise refused("prompt", fields.get("prompt"), "one text, or its ids")
    ids = prompts[0].ids
    if len(ids) > MOST_TOKENS:
        raise Problem(
            400, f"prompt has {len(ids)} tokens; up to {MOST_TOKENS} are explained", param="prompt"
        )
    position = fields.whole("position", -len(ids), len(ids) - 1)
    top = fields.whole("top", 1, MOST_TOP)
    token, against = (fields.whole(name, 0, served.vocab_size - 1) for name in ("token", "against"))
    return lambda: explain(
        served,
        ids,
        position=-1 if position is None else position,
        token=token,
        against=against,
        top=5 if top is None else top,
    )


def explain(
    served: Served,
    ids: tuple[int, ...],
    *,
    position: int,
    token: int | None,
    against: int | None,
    top: int,
) -> dict[str, Any]:
    """Return a text's losses, what each layer would say, and the parts of a token's score."""
    from llm_explainer.tracing import attribute, lens, saliency, trace

    traced = trace(served.model, served.tokenizer, ids)
    read = lens(traced, top=top)
    split = attribute(traced, position, token, against=against)

    def names(tokens: Any) -> Any:
        """Return the texts of ids, nested like them."""
        if isinstance(tokens, list):
            return [names(each) for each in tokens]
        return token_text(served.tokenizer, tokens)

    return {
        "object": "explanation",
        "model": served.name,
        "tokens": list(ids),
        "token_strs": names(list(ids)),
        "loss": traced.loss,
        "losses": [None, *map(float, traced.losses)],
        "lens": {
            "rows": list(read.rows),
            "tokens": read.tokens.tolist(),
            "token_strs": names(read.tokens.tolist()),
            "probabilities": read.probabilities.tolist(),
            "targets": read.targets.tolist(),
            "target_probabilities": read.target_probabilities.tolist(),
            "ranks": read.ranks.tolist(),
        },
        "attribution": {
            "position": split.position,
            "token": split.token,
            "token_str": names(split.token),
            "against": split.against,
            "logit": split.logit,
            "parts": dict(zip(split.names, map(float, split.values), strict=True)),
        },
        "saliency": {"of": traced.target.kind, "values": saliency(traced).tolist()},
    }
