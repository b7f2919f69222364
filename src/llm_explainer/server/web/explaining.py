"""``/v1/explain``: what a model does with a text, as numbers: those of the explorer.

One at a time is made, in a thread beside the model's, so that all texts go on meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from llm_explainer.config import ModelConfig
from llm_explainer.server.engine import Engine
from llm_explainer.server.requests import QueueFull
from llm_explainer.server.served import Served
from llm_explainer.server.web.answering import hearing_who_leaves
from llm_explainer.server.web.asking import choose_model
from llm_explainer.server.web.fields import Fields, refused
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.logprobs import token_text
from llm_explainer.server.web.parameters import refuse_unknown
from llm_explainer.server.web.problems import Problem
from llm_explainer.server.web.prompts import read_prompts

MOST_TOKENS = 512
"""Every result of a pass is kept for as long as the explanation takes."""

MOST_TOP = 50
MOST_WAITING = 8


@dataclass(frozen=True)
class Explanation:
    """What a request asks for: see ``read_explanation``."""

    served: Served
    ids: tuple[int, ...]
    position: int
    token: int | None
    against: int | None
    top: int


@dataclass(frozen=True)
class Snapshot:
    """A model as a trace takes it: its parameters as NumPy's arrays, which no thread owns."""

    tree: Any
    config: ModelConfig
    lora: None = None

    def parameters(self) -> Any:
        """Return them, nested."""
        return self.tree


class Explainer:
    """Makes explanations, one at a time.

    Args:
        engine: whose models are explained.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()
        self._n_asked = 0

    async def make(self, asked: Explanation, receive: Receive) -> dict[str, Any]:
        """Return an explanation when it is its turn and it is made.

        Raises:
            QueueFull: too many wait.
            ClientDisconnect: nobody wants it any more; it is not made, or not to its end.
        """
        if self._n_asked > MOST_WAITING:
            raise QueueFull(f"{MOST_WAITING} explanations wait already; try again later")
        left = threading.Event()
        self._n_asked += 1
        try:
            async with hearing_who_leaves(receive, left.set), self._turn:
                require_someone(left)
                snapshot = await asyncio.wrap_future(self._engine.call(lambda: read(asked.served)))
                return await _in_a_thread(lambda: explain(asked, snapshot, left))
        finally:
            self._n_asked -= 1


def require_someone(left: threading.Event) -> None:
    """Stop where nobody waits for the answer.

    Raises:
        ClientDisconnect: so it is.
    """
    if left.is_set():
        raise ClientDisconnect


def read(served: Served) -> Snapshot:
    """Return a model's parameters; for its own thread, as a lazy backend has to compute them."""
    from llm_explainer.tracing.reading import read_parameters

    return Snapshot(*read_parameters(served.model, np.float32))


async def _in_a_thread(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a function returns in a thread that a program's end does not wait for."""
    made: Future[dict[str, Any]] = Future()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    made.set_running_or_notify_cancel()
    threading.Thread(target=run, name="explanation", daemon=True).start()
    return await asyncio.wrap_future(made)


def read_explanation(values: dict[str, Any], limits: Limits) -> Explanation:
    """Return what a request asks for.

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
    return Explanation(
        served,
        ids,
        position=-1 if position is None else position,
        token=token,
        against=against,
        top=5 if top is None else top,
    )


def explain(asked: Explanation, snapshot: Snapshot, left: threading.Event) -> dict[str, Any]:
    """Return a text's losses, what each layer would say, and the parts of a token's score.

    Raises:
        ClientDisconnect: ``left`` was set meanwhile.
    """
    from llm_explainer.tracing import attribute, lens, saliency, trace

    served, ids = asked.served, asked.ids
    traced = trace(snapshot, served.tokenizer, ids)
    require_someone(left)
    seen = lens(traced, top=asked.top)
    require_someone(left)
    split = attribute(traced, asked.position, asked.token, against=asked.against)

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
            "rows": list(seen.rows),
            "tokens": seen.tokens.tolist(),
            "token_strs": names(seen.tokens.tolist()),
            "probabilities": seen.probabilities.tolist(),
            "targets": seen.targets.tolist(),
            "target_probabilities": seen.target_probabilities.tolist(),
            "ranks": seen.ranks.tolist(),
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
