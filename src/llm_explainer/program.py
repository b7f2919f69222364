"""The program's commands in one table, and how whoever reads a message would type each.

In a clone of the project they are ``uv run run_demo.py generate`` and ``uv run train_pretrain.py``;
where the package is installed, ``llm-explainer generate`` and ``llm-explainer pretrain``, or
``python -m llm_explainer`` before them. Texts that are written once, such as docstrings, name them
as in a clone; ``as_typed`` makes of that what this user types.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath

from llm_explainer.spelling import command_line

NAME = "llm-explainer"
_DEMO = "run_demo.py"


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        name: as it is typed.
        place: "module:function" below ``llm_explainer.commands``, so that it is imported when it
            is the one that was asked for.
        chapter: of the Tutorial, which explains what it does.
        script: the file that runs it in a clone, where that is not run_demo.py.
        takes_anything: options that it does not know are its own to judge.
    """

    name: str
    place: str
    chapter: int | None = None
    script: str = _DEMO
    takes_anything: bool = False


COMMANDS = (
    Command("quick", "quick:quick", 8),
    Command("full", "full:full", 10),
    Command("learn", "learn:learn"),
    Command("generate", "generate:generate", 9),
    Command("chat", "chat:chat", 10),
    Command("ask", "ask:ask", 10),
    Command("serve", "serve:serve"),
    Command("client", "client:client"),
    Command("merge", "merge:merge", 10),
    Command("export", "export:export"),
    Command("get", "get:get"),
    Command("presets", "presets:presets", 2),
    Command("trace", "trace:trace", 7),
    Command("explore", "explore:explore", 7),
    Command("gradcheck", "gradcheck:gradcheck", 2),
    Command("verify-resume", "verify_resume:verify_resume"),
    Command("profile", "profile:profile", 12),
    Command("diff", "diff:diff", 12),
    Command("mac-accel", "mac_accel:mac_accel", 12),
    Command("download", "download:download", 1),
    Command("tokenize", "tokenize:tokenize", 1),
    Command("train-tokenizer", "train_tokenizer:train_tokenizer", 1),
    Command("encode-corpus", "encode_corpus:encode_corpus", 1),
    Command("finetune-data", "finetune_data:finetune_data", 10),
    Command("eval", "evaluate:evaluate"),
    Command("sweep", "sweep:sweep", takes_anything=True),
    Command("pretrain", "pretrain:pretrain", script="train_pretrain.py"),
    Command("finetune-full", "finetune:finetune_full", script="train_finetune_full.py"),
    Command("finetune-lora", "finetune:finetune_lora", script="train_finetune_lora.py"),
)
"""All that there is to call; in the order in which ``--help`` lists it."""

DEMO = tuple(command for command in COMMANDS if command.script == _DEMO)
"""Those of run_demo.py; each of the others is a script."""

BY_NAME = {command.name: command for command in COMMANDS}

_SCRIPTS = {command.script: command.name for command in COMMANDS if command.script != _DEMO}
_IN_A_CLONE = re.compile(r"(?:uv run |python )?\b(run_demo\.py|train_\w+\.py)\b")


def typed(command: str, *words: str | Path) -> str:
    """Return a command line as whoever started this program would type it.

    >>> typed("generate", Path("my runs/first"))
    "uv run run_demo.py generate 'my runs/first'"
    """
    begin = _begin()
    script = BY_NAME[command].script
    if begin:
        begin = f"{begin} {command}"
    else:
        begin = f"uv run {script} {command}" if script == _DEMO else f"uv run {script}"
    return f"{begin} {command_line(*words)}".rstrip()


def as_typed(text: str) -> str:
    """Return a text that names commands as in a clone with the names that this user types."""
    begin = _begin()
    if not begin:
        return text
    text = text.replace("uv run mlx.launch", "mlx.launch")
    return _IN_A_CLONE.sub(lambda found: f"{begin} {_SCRIPTS.get(found[1], '')}".rstrip(), text)


def extra(name: str) -> str:
    """Return what brings an extra's packages to where this program runs."""
    return f"pip install '{NAME}[{name}]'" if _begin() else f"uv sync --extra {name}"


def _begin() -> str:
    """Return what all commands begin with; "" in a clone, where it differs from one to another."""
    started = PurePath(sys.argv[0]) if sys.argv else PurePath()
    if started.name == "__main__.py" and started.parent.name == __package__:
        return f"python -m {__package__}"
    if started.stem == NAME:
        # The environment of uv's project is not on the path of who types.
        return f"uv run {NAME}" if "UV_RUN_RECURSION_DEPTH" in os.environ else NAME
    return "" if (Path(__file__).parents[2] / _DEMO).is_file() else NAME
