"""Commands in processes that start in milliseconds: forks of one that has loaded everything.

As a program it reads a JSON object a line: {"run": [script, option, ...], ...} starts one and
answers with its process id, {"wait": id} answers with its exit code. ``Commands`` is the other end.
A command may be held up at a moment: the first time that it calls a function (or the ``nth``), it
writes a file "moment" and waits for a file "go", so that something can be done just then; ``full``
lets its output be a full disk from there on. With a ``terminal`` it is a job of a shell's in there.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LIMIT_S = 60.0


class Commands:
    """Starts commands; a context manager."""

    def __enter__(self) -> Commands:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.communicate()

    def ask(self, **question: Any) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, folder: Path, *words: str, **how: Any) -> int:
        """Start a command in a folder and a session of its own; return its process id."""
        pid: int = self.ask(run=words, folder=str(folder), **how)
        return pid

    def wait(self, pid: int) -> int:
        """Return a command's exit code."""
        code: int = self.ask(wait=pid)
        return code


def wait_for(path: Path, pid: int) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + LIMIT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path.name} of process {pid}"
        assert members(pid) or time.monotonic() < deadline - LIMIT_S + 1, f"{pid} has ended"
        time.sleep(0.002)


def members(session: int) -> list[int]:
    """Return the processes of a session that are running (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def serve() -> None:
    from llm_explainer.commands import encode_corpus, pretrain, train_tokenizer
    from llm_explainer.training.runs import run

    run.draw_loss_curve = lambda *args: None  # half of the time of so short a run
    commands = {
        "train_pretrain.py": pretrain.pretrain,
        "encode-corpus": encode_corpus.encode_corpus,
        "train-tokenizer": train_tokenizer.train_tokenizer,
    }
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                be_a_command(commands[question["run"][0]], question)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def be_a_command(command: Any, how: dict[str, Any]) -> None:
    """Run a command in this process, as the shell would, and end."""
    from llm_explainer.commands import signals
    from llm_explainer.commands.app import run

    os.setsid()
    os.chdir(how["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(how.get("output", "output"), os.O_WRONLY | os.O_CREAT, 0o666), 1)
    os.dup2(os.open("errors", os.O_WRONLY | os.O_CREAT, 0o666), 2)
    if "terminal" in how:
        be_a_job(how["terminal"])
    # Not what the orders come by, nor what this process knows of where its output went.
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # these tests may run under nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = how["run"]
    os.environ["COLUMNS"] = "200"
    signals.ECHO_S = how.get("echo_s", signals.ECHO_S)
    if "at" in how:
        hold_at(how["at"], how.get("nth", 1), how.get("after", "."), full=how.get("full", False))
    code = 0
    try:
        run(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = code or 120
        # As Python does at its end: workers go.
        import weakref

        weakref.finalize._exitfunc()  # type: ignore[attr-defined]
        os._exit(code)


def be_a_job(name: str) -> None:
    """Go on as a job in the foreground of a terminal; the shell that began it stays behind.

    Keys and hanging up then mean what they mean for people: Ctrl-Z, for one, stops nobody who has
    no shell to continue it.
    """
    terminal = os.open(name, os.O_RDWR)  # the first one of a session is that session's
    job = os.fork()
    if job:
        be_a_shell(job)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    for descriptor in (0, 1, 2):
        os.dup2(terminal, descriptor)
    os.environ["TERM"] = "xterm"


def be_a_shell(job: int) -> None:
    """Wait for a job's end, and exit as it does; if it stops, continue it when "on" is there."""
    signal.signal(signal.SIGHUP, lambda *_: os.killpg(job, signal.SIGHUP))
    while True:
        status = os.waitpid(job, os.WUNTRACED)[1]
        if not os.WIFSTOPPED(status):
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        Path("stopped").touch()
        while not Path("on").exists():
            time.sleep(0.005)
        os.killpg(job, signal.SIGCONT)


def hold_at(place: str, nth: int, after: str, *, full: bool) -> None:
    """Let the nth call of "module:name" or "module:class.name" be held up before it begins.

    Counted are those that come when the file ``after`` is there.
    """
    module, _, names = place.partition(":")
    owner: Any = importlib.import_module(module)
    *path, name = names.split(".")
    for part in path:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), []

    @functools.wraps(original)
    def held(*args: Any, **options: Any) -> Any:
        calls.extend([1] if Path(after).exists() else [])
        if len(calls) == nth:
            Path("moment").write_text("now")
            deadline = time.monotonic() + LIMIT_S
            while not Path("go").exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            if full:
                os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        return original(*args, **options)

    setattr(owner, name, held)


if __name__ == "__main__":
    serve()
