"""The table of commands: all are there, and messages name each as its user would type it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import typer
from command_line import command_runner

from llm_explainer.commands.app import _app
from llm_explainer.commands.group import function_of, make_app
from llm_explainer.program import BY_NAME, COMMANDS, as_typed, extra, typed

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "llm_explainer"
MODULE = str(SOURCE / "__main__.py")


@pytest.fixture(autouse=True)
def without_uv(monkeypatch):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)


def test_every_command_has_a_script_or_is_one_of_the_demo():
    scripts = {path.name for path in ROOT.glob("*.py")} - {"setup.py"}
    assert {command.script for command in COMMANDS} == scripts
    for name in scripts - {"run_demo.py"}:
        text = (ROOT / name).read_text(encoding="utf-8")
        (command,) = (each for each in COMMANDS if each.script == name)
        assert f'run(BY_NAME["{command.name}"])' in text


def test_listing_needs_no_command_and_has_them_all():
    listed = typer.main.get_command(make_app(COMMANDS, ["--help"])).commands
    assert list(listed) == [command.name for command in COMMANDS]
    for command in COMMANDS:
        docstring = function_of(command).__doc__ or ""
        assert listed[command.name].help == docstring.partition("\n\n")[0].replace("\n    ", "\n")


@pytest.mark.parametrize("name", BY_NAME)
def test_the_command_that_is_asked_for_is_whole_and_the_others_are_names(name):
    app = _app(COMMANDS, [name])
    commands = typer.main.get_command(app).commands
    assert commands.keys() == BY_NAME.keys()
    assert len([each for each in commands.values() if len(each.params) > 1]) <= 1
    assert commands[name].help.count("\n") > 1


@pytest.mark.parametrize(
    ("started", "begin"),
    [
        ("run_demo.py", "uv run run_demo.py generate"),
        ("train_pretrain.py", "uv run run_demo.py generate"),
        ("/usr/bin/llm-explainer", "llm-explainer generate"),
        ("llm-explainer.exe", "llm-explainer generate"),
        (MODULE, "python -m llm_explainer generate"),
        ("/tmp/notebook.py", "uv run run_demo.py generate"),
    ],
)
def test_a_command_is_named_as_it_was_typed(started, begin, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    assert typed("generate", Path("a b")) == f"{begin} 'a b'"
    train = begin.replace("run_demo.py generate", "train_finetune_lora.py")
    train = train.replace("generate", "finetune-lora")
    assert typed("finetune-lora", "--rank", "4") == f"{train} --rank 4"
    assert as_typed("see `uv run run_demo.py generate`") == f"see `{begin}`"
    assert as_typed("or `uv run train_finetune_lora.py`") == f"or `{train}`"
    in_a_clone = begin.startswith("uv")
    assert extra("gguf") == (
        "uv sync --extra gguf" if in_a_clone else "pip install 'llm-explainer[gguf]'"
    )


def test_under_uv_run_the_installed_command_begins_so_too(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["llm-explainer"])
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert typed("quick") == "uv run llm-explainer quick"


@pytest.mark.parametrize("name", BY_NAME)
def test_help_names_no_script_to_whoever_has_none(name, tmp_path, monkeypatch, capsys):
    call = command_runner(tmp_path, monkeypatch, capsys)
    monkeypatch.setattr("llm_explainer.program._begin", lambda: "llm-explainer")
    code, out, _ = call(COMMANDS, name, "--help")
    assert code == 0
    assert not re.search(r"uv run|\brun_demo|\btrain_\w+\.py", out)


def test_no_message_names_a_command_as_in_a_clone():
    """But for docstrings and help texts, which pass through ``as_typed``, and the Tutorial's."""
    for path in SOURCE.rglob("*.py"):
        if path.name in ("program.py", "thread.py", "pages.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {
            id(node)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
            and getattr(call.func, "id", "") in ("as_typed", "Option", "Argument", "setting")
            for node in ast.walk(call)
        }
        known |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = re.search(r"uv run|uv sync|\brun_demo|\btrain_\w+\.py", node.value)
                assert id(node) in known or not names, f"{path}:{node.lineno}"
