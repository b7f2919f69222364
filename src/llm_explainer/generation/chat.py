"""A conversation with a model: each line is a turn of the person's, in the template's words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from llm_explainer.errors import GenerationError
from llm_explainer.files import write_atomically
from llm_explainer.generation.decoding import LanguageModel
from llm_explainer.generation.sampling_config import SamplingConfig
from llm_explainer.generation.session import Session, Show
from llm_explainer.generation.streaming import Generation
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate

Turn = dict[str, str]
"""A ``role`` and a ``content``."""

SAID = "something"


class Chat(Session):
    """A person and a model who talk, as the records were written that the model has learned from.

    What is said so far goes before each turn; where that outgrows the context, the oldest turns are
    left out.

    Args:
        model: a ``GPT`` of any backend.
        tokenizer: the one that it was trained with, which has a chat template.
        sampling: the settings to begin with.
        write: shows the model's text, piece by piece.
        note: shows a line about the session.
        system: what the model is told before the first turn; nothing by default.

    Raises:
        GenerationError: the tokenizer has no chat template.
    """

    welcome = "Say something. /help shows what else there is; Ctrl-D leaves."
    about = (
        "A line is your turn, and the model answers. /reset begins another conversation.",
        "/save FILE.jsonl adds it to a file of records. A turn that begins with / takes a space",
        "before it. Ctrl-C ends the model's turn, Ctrl-D the conversation.",
    )

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        sampling: SamplingConfig,
        write: Show,
        note: Show,
        system: str | None = None,
    ) -> None:
        if tokenizer.chat_template is None:
            raise GenerationError(
                "the model's tokenizer has no chat template, so nobody knows how to talk to it; "
                "fine-tune the model on records with messages, or let it write with generate"
            )
        self._template = tokenizer.chat_template
        ending = turn_ending(self._template)
        is_id = ending in ("", tokenizer.name_of_end)  # the end token ends generation by its id
        self._endings = () if is_id else (ending,)
        super().__init__(model, tokenizer, sampling, write, note)
        self._told: list[Turn] = [] if system is None else [{"role": "system", "content": system}]
        self._turns: list[Turn] = []  # that were answered, and the answers
        self._line = ""  # the turn that is being answered

    def handle(self, line: str) -> bool:
        """Do what a line asks for, also ``/save FILE``; return whether the conversation goes on.

        Raises:
            LLMExplainerError: as in a session; a file that cannot be saved to.
        """
        command, _, name = line.strip().partition(" ")
        if line.startswith("/") and command == "/save":
            self._save(name.strip())
            return True
        return super().handle(line)

    def _save(self, name: str) -> None:
        """Add the conversation to a file of records, which fine-tuning can learn from."""
        if not name.endswith(".jsonl"):
            raise GenerationError(f"/save takes the name of a .jsonl file, and received {name!r}")
        if not self._turns:
            raise GenerationError("there is nothing to save yet: say something first")
        record = json.dumps({"messages": [*self._told, *self._turns]}, ensure_ascii=False)
        path = Path(name)
        try:
            before = path.read_bytes() if path.exists() else b""
            gap = b"\n" if before and not before.endswith(b"\n") else b""
            write_atomically(path, before + gap + record.encode() + b"\n")
        except (OSError, ValueError) as error:
            raise GenerationError(f"cannot save to {name}: {error}") from None
        self._note(f"saved to {name}, {len(self._turns) // 2} turns")

    def _answer(self, line: str) -> Generation:
        """Return the model's answer to this line, at the end of the conversation so far."""
        self._line = line
        ids = self._prompt(line)
        sampling = dataclasses.replace(self.sampling, stop=self._stops())
        return Generation(self._model, self._tokenizer, ids, sampling, index=self._turn)

    def _stops(self) -> tuple[str, ...]:
        """Return what ends an answer: the texts that were asked for, and the template's own."""
        return (*self.sampling.stop, *self._endings)

    def _prompt(self, line: str) -> list[int]:
        """Return the conversation up to where the model is to answer this line."""
        limit = self._model.config.context_length
        limit = max(limit - self.sampling.max_tokens, limit // 2)  # with room for the answer
        for first in range(0, len(self._turns) + 1, 2):  # a question and its answer
            turns = [*self._told, *self._turns[first:], {"role": "user", "content": line}]
            ids = self._tokenizer.encode(self._template.render(turns, add_generation_prompt=True))
            if len(ids) <= limit:
                break
        return ids

    def _pieces(self, stream: Generation) -> Iterator[str]:
        """Yield the answer without the space that the template's words leave to it."""
        has_begun = False
        for piece in stream:
            shown = piece if has_begun else piece.lstrip()
            has_begun = has_begun or bool(shown)
            yield shown

    def _keep(self, stream: Generation, ended_by: str) -> None:
        """Remember the answer, but for a stop text."""
        text = self._tokenizer.decode(stream.ids)
        for stop in self._stops():
            text = text.partition(stop)[0]
        self._turns += [
            {"role": "user", "content": self._line},
            {"role": "assistant", "content": text.strip()},
        ]

    def _forget(self) -> None:
        self._turns = []


def turn_ending(template: ChatTemplate) -> str:
    """Return what a template writes behind what the assistant has said, such as ``<|im_end|>``."""
    turns = [{"role": "user", "content": SAID}, {"role": "assistant", "content": SAID}]
    return template.render(turns).rpartition(SAID)[2].strip()
