"""How likely tokens were, in the two shapes that OpenAI has for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_explainer.server.requests import TokenScore
from llm_explainer.server.web.prompts import Prompt
from llm_explainer.tokenizer.base import Tokenizer


def token_bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """Return what a token is made of: half a character for some, nothing for an id without one."""
    piece = tokenizer.vocab.get(token, b"")
    return piece if isinstance(piece, bytes) else piece.encode()


def token_text(tokenizer: Tokenizer, token: int) -> str:
    r"""Return a token as text: ``" the"``, or ``bytes:\xe2\x80`` for what is no whole character."""
    data = token_bytes(tokenizer, token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class TextLogprobs:
    """The ``logprobs`` of a completion: lists with an entry for each token.

    ``text_offset`` counts characters from the prompt's beginning on.

    Args:
        tokenizer: of the model.
        prompt: what the text began with.
        echo: whether the prompt's tokens are among those that come.
        n_top: how many alternatives were asked for.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Prompt, n_top: int, *, echo: bool) -> None:
        self._tokenizer, self._n_top = tokenizer, n_top
        self._decoder = tokenizer.stream_decoder()
        self._n_before = prompt.n_before  # tokens to come that stand for no text that was sent
        self._offset = 0
        if not echo:
            for token in prompt.ids:
                self._push(token)

    def of(self, scores: Sequence[TokenScore]) -> dict[str, Any]:
        """Return the entries of the next tokens."""
        top = [self._top(score) for score in scores] if self._n_top else None
        return {
            "tokens": [token_text(self._tokenizer, score.token) for score in scores],
            "token_logprobs": [score.logprob for score in scores],
            "top_logprobs": top,
            "text_offset": [self._push(score.token) for score in scores],
        }

    def _top(self, score: TokenScore) -> dict[str, float] | None:
        """Return the alternatives, likeliest first, and the token itself among them."""
        if score.logprob is None:
            return None
        found: dict[str, float] = {}
        for token, logprob in (*score.top, (score.token, score.logprob)):
            found.setdefault(token_text(self._tokenizer, token), logprob)
        return found

    def _push(self, token: int) -> int:
        """Return where a token's text begins."""
        begins = self._offset
        n_chars = len(self._decoder.push(token))
        if self._n_before:
            self._n_before -= 1
        else:
            self._offset += n_chars
        return begins


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the entries of several parts as one."""
    whole: dict[str, Any] = {"tokens": [], "token_logprobs": [], "text_offset": []}
    for name, entries in whole.items():
        for part in parts:
            entries.extend(part[name])
    tops = [part["top_logprobs"] for part in parts]
    is_there = bool(tops) and tops[0] is not None
    whole["top_logprobs"] = [each for top in tops for each in top] if is_there else None
    return whole


def chat_logprobs(tokenizer: Tokenizer, scores: Sequence[TokenScore]) -> list[dict[str, Any]]:
    """Return the entries of a chat's ``logprobs.content``."""

    def entry(token: int, logprob: float | None) -> dict[str, Any]:
        data = token_bytes(tokenizer, token)
        return {"token": token_text(tokenizer, token), "logprob": logprob, "bytes": list(data)}

    return [
        {
            **entry(score.token, score.logprob),
            "top_logprobs": [entry(token, logprob) for token, logprob in score.top],
        }
        for score in scores
    ]
