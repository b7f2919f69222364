"""What Ollama is told of a model: its chat template in Go's words, and quotes that hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_templates import TEMPLATES, TOKENS
from command_line import assert_one_line, command_runner
from small_models import LLAMA, SMALL, random_model

from llm_explainer import BPETokenizer, ModelConfig, save_checkpoint
from llm_explainer.checkpoint.export.modelfile import go_template, modelfile
from llm_explainer.checkpoint.export.turns import turns_of
from llm_explainer.commands import export as command_module
from llm_explainer.commands.export import export
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer.chat_template import WORD_FOR_WORD, ChatTemplate

pytest.importorskip("gguf")
CHATML = TEMPLATES["chatml"]
HOSTILE = (
    r"""{% for m in messages %}{{ '\"\"\"\n\\ é😀 {{x}} ' ~ m['role'] ~ ' }}' }}"""
    r"""{{ m['content'] ~ '`\"' }}{% endfor %}"""
    r"""{% if add_generation_prompt %}{{ 'go\t' }}{% endif %}"""
)
RAISES = "{{ raise_exception('no') }}"
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    + RAISES
    + "{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}{% else %}"
    + RAISES
    + "{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}" + RAISES + "{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    + RAISES
    + "{% endif %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
ROLES = {"s": "system", "u": "user", "a": "assistant"}


def talk(roles: str, content: str) -> list[dict[str, str]]:
    return [{"role": ROLES[role], "content": content} for role in roles]


def in_go(template: str, turns: list[dict[str, str]]) -> str:
    """Return what Go makes of a template, of those that ``go_template`` writes.

    Go's own text/template wrote the same for every case of the test below.
    """
    texts = re.compile(r'\{\{ ("(?:[^"\\]|\\.)*") \}\}')
    tokens = re.findall(r'\{\{-? (?:"(?:[^"\\]|\\.)*"|.*?) -?\}\}', template)
    written, kept = [], {"i": 0}

    def run(tokens: list[str], turn: dict[str, str], number: int) -> None:
        depth = [True]
        for token in tokens:
            inside = token.strip("{}-").strip()
            if inside == "end":
                depth.pop()
            elif inside.startswith("if"):
                depth.append(depth[-1] and holds(inside, turn, number))
            elif depth[-1] and (found := texts.fullmatch(token)):
                written.append(json.loads(astral(found[1])))
            elif depth[-1]:
                assert inside == "$m.Content", inside
                written.append(turn["content"])

    def holds(condition: str, turn: dict[str, str], number: int) -> bool:
        if "slice" in condition:
            return not turn["content"].startswith(" ")
        if "$i" in condition:
            return number == 0 and turn["role"] != "system"
        return turn["role"] == condition.split('"')[1]

    assert tokens[0] == "{{- range $i, $m := .Messages -}}"
    last = max(i for i, token in enumerate(tokens) if token == "{{- end -}}")
    for number, turn in enumerate(turns):
        run(tokens[1:last], turn, number)
    run(tokens[last + 1 :], {}, kept["i"])
    return "".join(written)


def astral(literal: str) -> str:
    r"""Return a Go string as JSON has it: ``\U0001f600`` is two halves there."""
    return re.sub(r"\\U([0-9a-f]{8})", lambda m: json.dumps(chr(int(m[1], 16)))[1:-1], literal)


@pytest.mark.parametrize(
    "source", [ChatTemplate().source, WORD_FOR_WORD, CHATML, TEMPLATES["indented"], HOSTILE]
)
def test_a_template_writes_the_same_in_go(source: str) -> None:
    template = ChatTemplate(source, TOKENS)
    written = go_template(turns_of(template))
    assert written.isascii()  # what cannot be seen gets lost between quotes
    for roles in ("u", "su", "uau", "suau", "suauau"):
        for content in ("Hi", 'a\n "b"', "{{ .X }}"):
            turns = talk(roles, content)
            assert in_go(written, turns) == template.render(turns, add_generation_prompt=True)


@pytest.mark.parametrize("source", [TEMPLATES["strict"], MISTRAL, GEMMA])
def test_a_strict_template_writes_what_it_takes(source: str) -> None:
    template = ChatTemplate(source, TOKENS)
    turns = turns_of(template)
    assert not turns.takes_system
    assert turns.trimmed == (("user", "assistant") if source == GEMMA else ())
    written = go_template(turns)
    for roles in ("u", "uau", "uauau"):
        said = talk(roles, 'a\n "b"')
        assert in_go(written, said) == template.render(said, add_generation_prompt=True)
    with pytest.raises(AssertionError, match='slice "no system" 99'):  # out of Go's range
        in_go(written, talk("su", "Hi"))


def test_a_space_that_the_model_wrote_is_not_written_twice() -> None:
    turns = talk("uau", " Pip")
    assert "Assistant: Pip<|endoftext|>" in in_go(go_template(turns_of(ChatTemplate())), turns)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (TEMPLATES["marked"], "it changes ' two  words"),
        (TEMPLATES["instructions"], "depend on the turns beside it"),
        ("{{ raise_exception('never') }}", "refuses or fails"),
        (
            "{% for m in messages %}{{ m.role + m.content.rstrip() }}{% endfor %}",
            "it changes ' two  words",
        ),
        ("{{ messages[0]['content'] }}", "leaves out a turn"),
        ("{% for m in messages %}{{ m.role + m.content | upper }}{% endfor %}", "leaves out"),
        (
            "{% for m in messages %}{{ m.role + m.content }}"
            "{% if loop.index == 5 %}!{% endif %}{% endfor %}",
            "it changes 'Hi', or the words around it",
        ),
    ],
)
def test_what_does_more_than_put_words_around_turns_is_refused(source: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        turns_of(ChatTemplate(source, TOKENS))
    assert "\n" not in str(caught.value)


def parsed(text: str) -> list[tuple[str, str]]:
    """Return the commands of a Modelfile by the rules of Ollama's parser."""
    commands, value, name = [], None, ""
    for line in text.split("\n"):
        if value is None:
            if not line:
                continue
            name, _, value = line.partition(" ")
            if name == "PARAMETER":
                name, _, value = value.partition(" ")
        else:
            value += "\n" + line
        stripped = value.strip()
        for quotes in ('"""', '"'):
            if stripped.startswith(quotes):
                if len(stripped) >= 2 * len(quotes) and stripped.endswith(quotes):
                    commands.append((name, stripped[len(quotes) : -len(quotes)]))
                    value = None
                break
        else:
            commands.append((name, stripped))
            value = None
    assert value is None
    return commands


@pytest.mark.parametrize(
    "stop",
    ["<|im_end|>", 'say "x"', '"', '""', '"""', "two\nlines", '"\n', " a ", "\\n", "# x", "ü"],
)
def test_quotes_hold_what_is_in_them(stop: str) -> None:
    template = go_template(turns_of(ChatTemplate(HOSTILE, TOKENS)))
    text = modelfile("a b.gguf", template, [stop], {"num_ctx": 8})
    assert parsed(text) == [
        ("FROM", "./a b.gguf"),
        ("TEMPLATE", template),
        ("stop", stop),
        ("num_ctx", "8"),
    ]


@pytest.mark.parametrize("stop", ['a"""\nb', 'a""" \nb', "\x1b[31m", "zero\u200bwidth"])
def test_what_quotes_cannot_hold_is_refused(stop: str) -> None:
    with pytest.raises(CheckpointError, match="a Modelfile cannot hold"):
        modelfile("m.gguf", "{{ .Prompt }}", [stop], {})


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    tokenizer = BPETokenizer.train(["once upon a time there was a fox " * 4], 270)
    tokenizer.chat_template = ChatTemplate()
    config = ModelConfig(**{**SMALL, **LLAMA, "vocab_size": 270, "context_length": 16})
    save_checkpoint(tmp_path / "model", random_model(config, np.float32), tokenizer)
    monkeypatch.setattr(command_module, "N_TEXTS", 4)
    return command_runner(tmp_path, monkeypatch, capsys)


def test_the_command_writes_both_files(command: Any, tmp_path: Path) -> None:
    code, out, _ = command(export, "model", "--to=ollama", "--kind=F32", "--out=My model!")
    assert code == 0
    assert "cd 'My model!' && ollama create my-model -f Modelfile" in out
    found = parsed((tmp_path / "My model!" / "Modelfile").read_text())
    assert found[0] == ("FROM", "./My model!-F32.gguf")
    assert (tmp_path / "My model!" / "My model!-F32.gguf").exists()
    assert found[2:] == [
        ("stop", "<|endoftext|>"),
        ("num_ctx", "16"),
        ("temperature", "0.8"),
        ("top_k", "0"),
        ("top_p", "0.95"),
        ("min_p", "0.0"),
        ("repeat_penalty", "1.0"),
    ]


def test_the_model_s_own_settings_go_first(command: Any, tmp_path: Path) -> None:
    for settings, expected in (
        ({"do_sample": False}, {"temperature": "0.0"}),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, {"top_p": "0.9", "top_k": "50"}),
        ({"eos_token_id": 1}, {"temperature": "0.8"}),
    ):
        (tmp_path / "model" / "generation_config.json").write_text(json.dumps(settings))
        assert command(export, "model", "--to=ollama", "--out=there", "--overwrite")[0] == 0
        found = dict(parsed((tmp_path / "there" / "Modelfile").read_text()))
        assert expected.items() <= found.items()


def test_a_template_that_cannot_be_said_leaves_nothing(command: Any, tmp_path: Path) -> None:
    file = tmp_path / "model" / "chat_template.jinja"
    file.write_text(GEMMA)
    code, out, _ = command(export, "model", "--to=ollama", "--out=strict")
    assert code == 0
    assert "a system message is refused" in out
    assert "keep spaces around a turn" in " ".join(out.split())
    file.write_text(TEMPLATES["instructions"])
    result = command(export, "model", "--to=ollama", "--out=there")
    assert_one_line(result, "more than put words around turns", "--to gguf")
    assert not (tmp_path / "there").exists()
