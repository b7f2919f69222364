"""``/v1/chat/completions``: a conversation in the words of the model's own template."""

from __future__ import annotations

from typing import Any

from llm_explainer.errors import TokenizerError
from llm_explainer.generation.chat import turn_ending
from llm_explainer.server.requests import MOST_ALTERNATIVES, Completion, Piece
from llm_explainer.server.served import Served
from llm_explainer.server.web.asking import (
    Asked,
    check_labels,
    choose_model,
    read_max_tokens,
    read_sampling,
    read_stream,
)
from llm_explainer.server.web.fields import Fields, refused
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.logprobs import chat_logprobs
from llm_explainer.server.web.parameters import check_names
from llm_explainer.server.web.problems import Problem
from llm_explainer.server.web.prompts import Prompt, text_prompt

ROLES = ("system", "user", "assistant")
MOST_MESSAGES = 2048


class ChatChoice:
    """An answer in the shape of a chat's choice.

    Args:
        index: its place in the answer.
        completion: what the engine is asked.
        served: the model.
    """

    def __init__(self, index: int, completion: Completion, served: Served) -> None:
        self.completion = completion
        self._index, self._served = index, served
        self._text, self._reason = "", None  # type: str, Any
        self._logprobs: list[dict[str, Any]] = []

    def opening(self) -> list[dict[str, Any]]:
        """Return who speaks."""
        return [self._chunk({"role": "assistant", "content": "", "refusal": None}, None, None)]

    def add(self, piece: Piece) -> list[dict[str, Any]]:
        """Take the next piece; how it ended goes in a chunk of its own."""
        # The space that the template's words leave to the answer is no part of what is said.
        text = piece.text if self._text else piece.text.lstrip()
        self._text += text
        self._reason = piece.finish_reason
        logprobs = None
        if self.completion.logprobs is not None:
            entries = chat_logprobs(self._served.tokenizer, piece.logprobs)
            logprobs = {"content": entries, "refusal": None}
            self._logprobs += entries
        chunks = []
        if text or (logprobs and logprobs["content"]):
            chunks.append(self._chunk({"content": text}, logprobs, None))
        if self._reason is not None:
            chunks.append(self._chunk({}, None, self._reason))
        return chunks

    def whole(self) -> dict[str, Any]:
        """Return all of it."""
        asked = self.completion.logprobs is not None
        return {
            "index": self._index,
            "message": {"role": "assistant", "content": self._text, "refusal": None},
            "logprobs": {"content": self._logprobs, "refusal": None} if asked else None,
            "finish_reason": self._reason,
        }

    def _chunk(
        self, delta: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None
    ) -> dict[str, Any]:
        return {
            "index": self._index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": reason,
        }


def read_chat(values: dict[str, Any], limits: Limits) -> Asked:
    """Return what a request asks for.

    Raises:
        Problem, GenerationError, TokenizerError: a parameter that is unknown, not supported, or
            cannot be so; a model that knows no conversations.
    """
    check_names(values, "chat")
    fields = Fields(values)
    check_labels(fields)
    served = choose_model(fields, limits.models)
    prompt, endings = render(served, read_messages(fields.get("messages")))
    most = [read_max_tokens(fields, name, 1) for name in ("max_completion_tokens", "max_tokens")]
    if None not in most:
        raise Problem(
            400, "max_tokens is the old name of max_completion_tokens; give one", param="max_tokens"
        )
    max_tokens = next((each for each in most if each is not None), served.context_length)
    sampling = read_sampling(fields, max_tokens, endings)
    n_top = fields.whole("top_logprobs", 0, MOST_ALTERNATIVES)
    if n_top is not None and not fields.flag("logprobs"):
        raise Problem(400, "top_logprobs goes with logprobs: true", param="top_logprobs")
    logprobs = (n_top or 0) if fields.flag("logprobs") else None
    n = fields.whole("n", 1, limits.most_texts) or 1
    stream, include_usage = read_stream(fields)
    return Asked(
        model=served.name,
        choices=[
            ChatChoice(
                index,
                Completion(
                    prompt_ids=prompt.ids, sampling=sampling, index=index, logprobs=logprobs
                ),
                served,
            )
            for index in range(n)
        ],
        n_prompt_tokens=len(prompt.ids),
        kind="chat.completion",
        chunk_kind="chat.completion.chunk",
        prefix="chatcmpl",
        stream=stream,
        include_usage=include_usage,
    )


def render(served: Served, messages: list[dict[str, str]]) -> tuple[Prompt, tuple[str, ...]]:
    """Return a conversation up to where the model is to speak, and the texts that end its answer.

    Raises:
        Problem: the model has no template, or its template refuses these messages.
    """
    template = served.tokenizer.chat_template
    if template is None:
        raise Problem(
            400,
            f"{served.name} knows no conversations: its tokenizer has no chat template. Fine-tune "
            "it on records with messages, which stores one, or ask /v1/completions",
            param="model",
            code="no_chat_template",
        )
    try:
        text = template.render(messages, add_generation_prompt=True)
        ending = turn_ending(template)
    except TokenizerError as error:
        raise Problem(400, str(error), param="messages", code="invalid_value") from None
    ends_by_id = ending in ("", served.tokenizer.name_of_end)
    prompt = text_prompt(text, served, "messages")
    return prompt, () if ends_by_id else (ending,)


def read_messages(value: Any) -> list[dict[str, str]]:
    """Return the turns of a conversation, each with a role and a text.

    Raises:
        Problem: something else.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MOST_MESSAGES:
        raise refused("messages", value, f"a list of 1 to {MOST_MESSAGES} messages")
    return [_read_message(each, f"messages[{place}]") for place, each in enumerate(value)]


def _read_message(value: Any, place: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise refused(place, value, "an object with role and content")
    for name, each in value.items():
        if name not in ("role", "content") and each not in (None, [], ""):
            raise Problem(
                400,
                f"{place}.{name[:80]} is not supported: a message has a role and a text; "
                "leave it out",
                param=f"{place}.{name[:80]}",
                code="unsupported_parameter",
            )
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise refused(f"{place}.role", role, ", ".join(ROLES))
    if isinstance(content, list):
        content = "".join(_read_part(part, f"{place}.content") for part in content)
    if not isinstance(content, str):
        raise refused(f"{place}.content", content, "a text, or a list of parts of type text")
    return {"role": role, "content": content}


def _read_part(part: Any, place: str) -> str:
    ok = isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] == "text"
    if not ok or not isinstance(part["text"], str):
        raise refused(place, part, 'parts like {"type": "text", "text": "..."}')
    return str(part["text"])
