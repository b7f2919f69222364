"""A conversation: turns in the template's words, what ends one, and the command."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import Call, FakeInput, assert_one_line, command_runner
from tiny_base import base  # noqa: F401 - a fixture

from llm_explainer import load_checkpoint
from llm_explainer.commands.chat import chat
from llm_explainer.commands.finetune import finetune_full
from llm_explainer.config import ModelConfig
from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig
from llm_explainer.generation.chat import Chat
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate
from llm_explainer.training.runs import run as runs

SHOUTED = (
    "{% for m in messages %}{{ m.role[0] + m.content + '#' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'a' }}{% endif %}"
)
"""Turns that begin with the first letter of their role, and end by a text that is no token."""


class Says:
    """A model that says the same at every turn, then "h" for ever; it notes prompts."""

    is_lazy = False

    def __init__(self, said: str, context_length: int = 64, template: str | None = SHOUTED) -> None:
        self.tokenizer = CharTokenizer.train(["su aoknh#"])
        self.tokenizer.chat_template = None if template is None else ChatTemplate(template)
        self.config = ModelConfig(
            vocab_size=self.tokenizer.vocab_size,
            context_length=context_length,
            d_model=8,
            n_layers=1,
            n_heads=1,
        )
        self.prompts: list[str] = []
        self._said, self._next = self.tokenizer.encode(said), iter([0])

    def make_cache(self, batch_size: int, capacity: int) -> Any:
        return SimpleNamespace(lengths=np.zeros(batch_size), trim=lambda lengths: None)

    def next_logits(self, tokens: Any, cache: Any, lengths: Any = None) -> Any:
        if lengths is not None:
            self.prompts.append(self.tokenizer.decode(tokens[0]))
            self._next = self._ids()
        return 50.0 * np.eye(self.config.vocab_size)[[next(self._next)]]

    def _ids(self) -> Iterator[int]:
        yield from self._said
        while True:
            yield self.tokenizer.encode("h")[0]


def talk(model: Says, *lines: str, **settings: Any) -> tuple[str, Chat]:
    shown = io.StringIO()
    system = settings.pop("system", None)
    sampling = SamplingConfig(**{"max_tokens": 9, **settings})
    chat = Chat(model, model.tokenizer, sampling, shown.write, lambda note: None, system)
    chat.run(lines)
    return shown.getvalue(), chat


def test_a_turn_ends_where_the_template_ends_it_and_is_remembered() -> None:
    model = Says(" ok#")
    shown, _ = talk(model, "un", "s", "/reset", "n", system="ha")
    assert shown == "ok\nok\nok\n"  # without the space before, and without the end
    assert model.prompts == ["sha#uun#a", "sha#uun#aok#us#a", "sha#un#a"]


def test_a_person_s_stop_text_is_no_part_of_what_is_remembered() -> None:
    model = Says("ohnk#")
    shown, _ = talk(model, "s", "s", stop=["hn"])
    assert shown == "o\no\n"
    assert model.prompts[1] == "us#ao#us#a"


def test_the_template_s_own_end_stays_when_a_person_sets_another() -> None:
    shown, _ = talk(Says("ohnk#"), "/stop n", "s", "/stop x", "s")
    assert shown == "oh\nohnk\n"


def test_the_oldest_turns_are_left_out_where_the_context_is_full() -> None:
    model = Says("ok#", context_length=20)
    talk(model, "un", "sh", "h", max_tokens=4)
    assert model.prompts == ["uun#a", "uun#aok#ush#a", "ush#aok#uh#a"]


def test_a_conversation_is_saved_as_a_record_with_all_its_turns(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text('{"messages": []}')  # without a line break
    model = Says("ok#", context_length=20)
    talk(model, "un", "sh", "h", f"/save {path}", "/reset", "s", f"/save {path}", max_tokens=4)
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {"messages": []}
    assert [turn["content"] for turn in second["messages"]] == ["un", "ok", "sh", "ok", "h", "ok"]
    assert third["messages"][0] == {"role": "user", "content": "s"}
    _, chat = talk(model)
    for line, message in (
        ("/save", "received ''"),
        ("/save talk.txt", "received 'talk.txt'"),
        (f"/save {path}", "nothing to save yet"),
    ):
        with pytest.raises(GenerationError, match=message):
            chat.handle(line)
    chat.handle("s")
    with pytest.raises(GenerationError, match="cannot save to"):
        chat.handle(f"/save {tmp_path}/none/talk.jsonl")


def test_without_a_template_nobody_knows_how_to_talk() -> None:
    with pytest.raises(GenerationError, match="messages, or let it write with generate"):
        talk(Says("ok#", template=None), "un")


@pytest.fixture
def command(
    base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "base").symlink_to(base)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    (tmp_path / "chat.jsonl").write_text((json.dumps({"messages": turns}) + "\n") * 4)
    return command_runner(tmp_path, monkeypatch, capsys)


def test_a_model_that_learned_conversations_keeps_their_template_and_talks(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ["--steps=1", "--batch-size=2", "--backend=numpy", "--workers=1", "--out=run"]
    code, out, _ = command(finetune_full, "--from=base", "--data=chat.jsonl", *short)
    assert code == 0
    assert "User: Hi Assistant:" in out  # the question, not only what asks for an answer
    assert "run_demo.py chat run" in out
    _, tokenizer = load_checkpoint(tmp_path / "run")
    assert tokenizer.chat_template is not None
    code, out, _ = command(chat, "run", "--prompt=Hi", "--max-tokens=3")
    assert code == 0
    assert not out.startswith("Hi")
    monkeypatch.setattr("sys.stdin", FakeInput(b"Hi"))
    assert command(chat, "run", "--system=Be kind.", "--max-tokens=3")[0] == 0
    assert_one_line(command(chat, "base", "--prompt=Hi"), "no chat template")
