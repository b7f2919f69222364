"""``/v1/completions``: texts that go on, or are scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_explainer.server.requests import MOST_ALTERNATIVES, Completion, Piece
from llm_explainer.server.served import Served
from llm_explainer.server.web.asking import (
    Asked,
    any_seed,
    check_labels,
    choose_model,
    read_max_tokens,
    read_sampling,
    read_stream,
)
from llm_explainer.server.web.fields import Fields, refused
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.logprobs import TextLogprobs, joined
from llm_explainer.server.web.parameters import check_names
from llm_explainer.server.web.prompts import Prompt, read_prompts

USUAL_TOKENS = 16
"""How many are added where a request does not say, as OpenAI has it."""


class TextChoice:
    """A text in the shape of a completion's choice.

    Args:
        index: its place in the answer.
        completion: what the engine is asked.
        prompt: what it starts from.
        served: the model.
    """

    def __init__(self, index: int, completion: Completion, prompt: Prompt, served: Served) -> None:
        self.completion = completion
        self._index, self._prompt = index, prompt
        self._text, self._reason = "", None  # type: str, Any
        self._parts: list[dict[str, Any]] = []
        self._logprobs: TextLogprobs | None = None
        if completion.logprobs is not None:
            self._logprobs = TextLogprobs(
                served.tokenizer, prompt, completion.logprobs, echo=completion.echo
            )

    def opening(self) -> list[dict[str, Any]]:
        """Return nothing: a completion's stream begins with its text."""
        return []

    def add(self, piece: Piece) -> list[dict[str, Any]]:
        """Take the next piece."""
        text = piece.text
        if piece.is_prompt and self._prompt.text is not None:
            text = self._prompt.text  # as it was sent, without what stands before every text
        self._text += text
        self._reason = piece.finish_reason
        part = self._logprobs.of(piece.logprobs) if self._logprobs else None
        if part is not None:
            self._parts.append(part)
        return [self._choice(text, part)]

    def whole(self) -> dict[str, Any]:
        """Return all of it."""
        return self._choice(self._text, joined(self._parts) if self._logprobs else None)

    def _choice(self, text: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "index": self._index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": self._reason,
        }


def read_completions(values: dict[str, Any], limits: Limits) -> Asked:
    """Return what a request asks for.

    Raises:
        Problem, GenerationError: a parameter that is unknown, not supported, or cannot be so.
    """
    if type(values.get("best_of")) is int and values["best_of"] == values.get("n"):
        values = {name: value for name, value in values.items() if name != "best_of"}
    check_names(values, "completions")
    fields = Fields(values)
    check_labels(fields)
    served = choose_model(fields, limits.models)
    prompts = read_prompts(fields.get("prompt"), served)
    n = fields.whole("n", 1, limits.most_texts) or 1
    if len(prompts) * n > limits.most_texts:
        raise refused("n", n, f"up to {limits.most_texts} texts in all, and there are more prompts")
    most = read_max_tokens(fields, "max_tokens", 0)
    sampling = read_sampling(fields, USUAL_TOKENS if most is None else most)
    logprobs = fields.whole("logprobs", 0, MOST_ALTERNATIVES)
    echo = fields.flag("echo")
    choices: list[TextChoice] = []
    for prompt in prompts:
        if fields.get("seed") is None:  # or a prompt that is there twice had the same text twice
            sampling = replace(sampling, seed=any_seed())
        for index in range(n):
            completion = Completion(
                prompt_ids=prompt.ids, sampling=sampling, index=index, logprobs=logprobs, echo=echo
            )
            choices.append(TextChoice(len(choices), completion, prompt, served))
    stream, include_usage = read_stream(fields)
    return Asked(
        model=served.name,
        choices=choices,
        n_prompt_tokens=sum(len(prompt.ids) for prompt in prompts),
        kind="text_completion",
        chunk_kind="text_completion",
        prefix="cmpl",
        stream=stream,
        include_usage=include_usage,
    )
