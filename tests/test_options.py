"""All commands, found by introspection: no option without effect, and no traceback."""

from __future__ import annotations

import itertools
import os
from typing import get_args

import pytest
import typer
from command_line import assert_one_line, command_runner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_checkpoint import TOKENIZER, random_model, tiny_config

from llm_explainer.checkpoint import save_checkpoint
from llm_explainer.commands.app import _app
from llm_explainer.commands.exclusions import EXCLUSIONS
from llm_explainer.commands.group import make_app
from llm_explainer.program import COMMANDS as TABLE

N_EXAMPLES = 1000 if os.environ.get("CAMPAIGNS") else 15


FUNCTIONS = {
    each.callback.__name__: getattr(each.callback, "__wrapped__", each.callback)
    for each in _app(make_app(TABLE)).registered_commands
}
COMMANDS = {name: typer.main.get_command(_app(function)) for name, function in FUNCTIONS.items()}
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option" and option.name not in ("help", "debug", "prompt")
]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    run = command_runner(tmp_path, monkeypatch, capsys)

    def by_name(name, *arguments):
        return run(FUNCTIONS[name], *arguments)

    return by_name


def value_for(option, number=7):
    """Return arguments that give an option a value of its type."""
    if option.is_flag:
        return [(option.secondary_opts or option.opts)[0]]
    kind = option.type_descriptor.annotation
    value = {int: number, float: 0.5}.get(kind, (get_args(kind) or ("x",))[0])
    return [f"{option.opts[0]}={value}"]


PAIRS = [
    pytest.param(exclusion, name, id=f"{exclusion.command} {name}")
    for exclusion in EXCLUSIONS
    for name in exclusion.options
]


@pytest.mark.parametrize(("exclusion", "name"), PAIRS)
def test_options_without_effect_are_refused(call, tmp_path, exclusion, name):
    option = next(o for o in COMMANDS[exclusion.command].params if o.name == name)
    result = call(exclusion.command, *exclusion.example, *value_for(option))
    assert_one_line(result, f"--{name.replace('_', '-')} has no effect", "leave it out")
    assert not list(tmp_path.iterdir())


def test_an_option_that_is_given_twice_is_said(call):
    code, _, err = call("tokenize", "text", "--rows=1", "--tokenizer=bytes", "--rows=2")
    assert code == 0
    assert err.splitlines() == ["note: --rows was given more than once; the last one counted"]


def test_every_number_is_refused_where_it_is_no_number(call):
    for name, option in OPTIONS:
        if not option.is_flag and option.type_descriptor.annotation in (int, float):
            for value in ("x", "", "1,5"):
                assert_one_line(call(name, f"{option.opts[0]}={value}"), option.opts[0])


def test_every_command_knows_help_and_its_options_are_in_the_table():
    for exclusion in EXCLUSIONS:
        names = {option.name for option in COMMANDS[exclusion.command].params}
        assert set(exclusion.options) <= names
    for command in COMMANDS.values():
        assert command.context_settings["help_option_names"] == ["--help", "-h"]


BAD_FILES = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "json": lambda path: path.write_text('{"a": [1, 2'),
}
TEXT_OPTIONS = [
    ("generate", ["--prompt-file={}"]),
    ("tokenize", ["--file={}"]),
    ("train_tokenizer", ["{}"]),
    ("encode_corpus", ["{}", "--tokenizer=bytes"]),
    ("pretrain", ["--corpus={}", "--size=tiny"]),
]
FILE_OPTIONS = [
    ("generate", ["{}", "--prompt=a"]),
    ("tokenize", ["text", "--tokenizer={}"]),
    ("tokenize", ["text", "--compare={}"]),
    ("pretrain", ["--resume={}"]),
    ("pretrain", ["--from={}"]),
    ("pretrain", ["--train-data={0}", "--val-data={0}"]),
    ("pretrain", ["--tokenizer={}", "--corpus=stories", "--max-bytes=9999"]),
    ("evaluate", ["{}"]),
    ("ask", ["{}"]),
    ("merge", ["{}"]),
]


@pytest.mark.parametrize(("kind", "make"), BAD_FILES.items(), ids=BAD_FILES)
def test_files_that_cannot_be_used(call, tmp_path, kind, make):
    make(tmp_path / "bad")
    for name, arguments in FILE_OPTIONS + (TEXT_OPTIONS if kind != "json" else []):
        assert_one_line(call(name, *(each.format("bad") for each in arguments)))


NUMBERS = st.sampled_from(["-1", "0", "nan", "inf", "-inf", "1e400", str(2**70), "-0.5", "3", ""])
QUICK = [(n, o) for n, o in OPTIONS if n in ("generate", "tokenize", "encode_corpus")]


@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(QUICK), NUMBERS), min_size=1, max_size=3))
def test_any_values_end_in_one_line(call, chosen):
    (name, _), _ = chosen[0]
    arguments = []
    for (command, option), value in chosen:
        if command == name:
            arguments += value_for(option) if option.is_flag else [f"{option.opts[0]}={value}"]
    subject = {"generate": "no-such-model", "tokenize": "text", "encode_corpus": "no-such.txt"}
    result = call(name, subject[name], *arguments)
    if result[0]:
        assert_one_line(result)


def test_several_prompts_and_a_file(call, tmp_path):
    path = save_checkpoint(
        "model", random_model(tiny_config(vocab_size=TOKENIZER.vocab_size)), TOKENIZER
    )
    (tmp_path / "prompt.txt").write_bytes(b"\xef\xbb\xbfsale")
    code, out, _ = call(
        "generate", path, "-p", "all", "-p", "text", "--prompt-file=prompt.txt", "--max-tokens=2"
    )
    assert code == 0
    texts = out.split("---\n")
    starts = ("all", "text", "sale")
    assert all(text.startswith(start) for text, start in itertools.zip_longest(texts, starts))
    assert_one_line(call("generate", path, "-p", "a", "-p", "b", "-i"), "2 prompts")
    assert_one_line(call("generate", path, "--top-k=0"), "--top-k is 0")
