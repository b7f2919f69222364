"""Every option of every command, found by introspection: wrong values end in one line, exit code 2.

A new option is tested by itself; a new command needs a line in ``CALLS``, which a test asks for.
"""

from __future__ import annotations

import os
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from command_line import command_runner
from test_options import COMMANDS, FUNCTIONS, OPTIONS
from tiny_base import make_base, write_records

from llm_explainer import explorer, gradcheck, parity, profiling, tracing
from llm_explainer.checkpoint import hub
from llm_explainer.commands import resume_check
from llm_explainer.data import corpora
from llm_explainer.errors import ConfigError
from llm_explainer.server.client import Client
from llm_explainer.server.web import running as web
from llm_explainer.training import step_timer
from llm_explainer.training.runs import run as runs
from llm_explainer.tutorial import running

N_TRIED = 10_000 if os.environ.get("CAMPAIGNS") else 2  # of each command
MOST_SECONDS = 30
STOPPED = "error: here the work would begin"

CALLS = {  # of each command one that works, quick to end
    "quick": [],
    "full": [],
    "generate": ["base", "--prompt=a", "--max-tokens=1"],
    "chat": ["base", "--prompt=a", "--max-tokens=1"],
    "ask": ["base"],
    "merge": ["base"],
    "export": ["base"],
    "trace": ["base", "--prompt=The fox"],
    "presets": [],
    "explore": ["base", "--prompt=a"],
    "get": ["gpt2"],
    "serve": ["base"],
    "client": ["http://127.0.0.1:9"],
    "gradcheck": [],
    "verify_resume": [],
    "profile": [],
    "diff": [],
    "mac_accel": ["--corpus=text.txt", "--size=tiny"],
    "download": ["shakespeare"],
    "tokenize": ["text", "--tokenizer=bytes"],
    "train_tokenizer": ["text.txt", "--vocab-size=300"],
    "encode_corpus": ["text.txt", "--tokenizer=bytes"],
    "finetune_data": ["records.jsonl", "--from=base"],
    "evaluate": ["base", "--corpus=text.txt"],
    "learn": [],
    "sweep": ["--corpus=text.txt", "--size=tiny", "--seeds=1"],
    "pretrain": ["--corpus=text.txt", "--size=tiny"],
    "finetune_full": ["--from=base", "--data=records.jsonl"],
    "finetune_lora": ["--from=base", "--data=records.jsonl"],
}
NUMBERS = ["x", "", "1,5", "nan", "inf", "-inf", "1e400", "-1", "0", "-0.5", "0.5", str(2**70)]
WORDS = ["", " ", "nowhere", "a\nb", "é" * 300, "[red]", "--", "1e3", "-1", "0", "nan", str(2**70)]
FILES = ["folder", "empty", "binary", "half.json", "huge.json", "locked", "base", "text.txt"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run, texts, records, and what cannot be used."""
    folder = tmp_path_factory.mktemp("place")
    make_base(folder)
    write_records(folder / "records.jsonl")
    (folder / "text.txt").write_text("The fox went home. The owl sang.\n" * 200)
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)) * 40)
    (folder / "half.json").write_text('{"a": [1, 2')
    with (folder / "huge.json").open("wb") as file:
        file.truncate(1 << 40)  # with nothing in it, so that it takes no place
    (folder / "locked").write_text("text")
    (folder / "locked").chmod(0)
    return folder


def stopped(*arguments: Any, **options: Any) -> Any:
    raise ConfigError(STOPPED.removeprefix("error: "))


@pytest.fixture
def call(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command up to where its work would begin."""
    run = command_runner(place, monkeypatch, capsys)
    for owner, name in (
        (runs.Run, "train"),
        (gradcheck, "check_model"),
        (tracing, "trace"),
        (explorer, "explore"),
        (parity, "check_parity"),
        (profiling, "profile_step"),
        (resume_check, "check_kind"),
        (running, "check_chapter"),
        (corpora.downloads, "download"),
        (hub, "list_files"),
        (web, "listen"),
        (Client, "models"),
    ):
        monkeypatch.setattr(owner, name, stopped)
    monkeypatch.setattr(step_timer, "measure_speed", lambda *arguments: 1000.0)
    start_run = runs.start_run

    def by_name(name: str, *arguments: str) -> Any:
        prepares = name not in ("quick", "full")  # they make all their stories first
        monkeypatch.setattr(runs, "start_run", start_run if prepares else stopped)
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"{name} {arguments} takes long"))
        signal.alarm(MOST_SECONDS)
        try:
            return run(FUNCTIONS[name], *arguments)
        finally:
            signal.alarm(0)

    return by_name


def arguments_for(option: Any) -> list[str]:
    if option.is_flag:
        return [*option.opts, *option.secondary_opts]
    is_number = option.type_descriptor.annotation in (int, float)
    return [f"{option.opts[0]}={value}" for value in (NUMBERS if is_number else FILES + WORDS)]


def test_every_command_is_tried() -> None:
    assert CALLS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_value_is_one_line(call: Any, name: str) -> None:
    tried = [
        argument
        for command, option in OPTIONS
        if command == name
        for argument in arguments_for(option)
    ]
    wrong = []
    for argument in sorted(tried, key=lambda text: sha256(text.encode()).digest())[:N_TRIED]:
        try:
            code, _, said = call(name, *CALLS[name], argument)
        except Exception as error:  # whatever it is, all of them are shown
            wrong.append((argument, repr(error)))
            continue
        lines = said.strip().splitlines()
        if lines[-1:] == [STOPPED]:
            continue  # the value is fine, or wrong in a way that only the work can find
        if code not in (0, 2) or "Traceback" in said or (code == 2 and len(lines) != 1):
            wrong.append((argument, said[-400:]))
    assert not wrong, "\n".join(map(str, wrong))
