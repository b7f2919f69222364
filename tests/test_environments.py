"""Commands where streams are closed, full or dumb, where there is no home, and few threads."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import sys
import threading
from importlib.metadata import requires
from pathlib import Path

import pytest
import typer
from command_line import FakeInput, assert_one_line, command_runner
from packaging.requirements import Requirement

from llm_explainer.commands import limits
from llm_explainer.commands.app import run
from llm_explainer.commands.generate import generate
from llm_explainer.commands.gradcheck import gradcheck
from llm_explainer.commands.presets import presets
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.profile import profile
from llm_explainer.commands.train_tokenizer import FOLDER
from llm_explainer.data import download
from llm_explainer.errors import CorpusError, LLMExplainerError

ROOT = Path(__file__).parents[1]
TRAIN = (
    "train_pretrain.py --size=tiny --vocab-size=300 --batch-size=2 --backend=numpy --steps=2 "
    "--eval-every=0 --eval-windows=2 --sample-every=0 --corpus=text.txt --out=run"
)
CHECK = "run_demo.py gradcheck --family=llama --n-layers=1"
FAIL = "run_demo.py generate nosuch --prompt=x"

CAMPAIGNS = bool(os.environ.get("CAMPAIGNS"))
"""Whether to try all that there is, as is done by hand."""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "text.txt").write_text("the fox went home and sang near a river at night.\n" * 150)
    return tmp_path


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of this project with a shell's redirections."""
    script, _, rest = line.partition(" ")
    python = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / script))}"
    return subprocess.run(
        ["sh", "-c", f"{python} {rest}"],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )


def on_terminal(line: str, folder: Path, **environment: str) -> bytes:
    """Return what a script of this project writes to a terminal."""
    import pty

    here, terminal = pty.openpty()
    script, *words = line.split()
    known = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [sys.executable, str(ROOT / script), *words],
        cwd=folder,
        env={**known, "TERM": "xterm", **environment},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ):
        os.close(terminal)
        written = b""
        try:
            while block := os.read(here, 4096):
                written += block
        except OSError:  # Linux says so of a terminal that nobody holds any more
            pass
        os.close(here)
    return written


# Streams


@pytest.mark.parametrize("closed", [">&- 2>&- <&-", *([">&-"] if CAMPAIGNS else [])])
def test_closed_streams_are_no_reason_to_fail(closed, folder):
    done = shell(f"{TRAIN} {closed}", folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (folder / "run" / "step-000002" / "model.safetensors").exists()
    log = (folder / "run" / "log.jsonl").read_text()
    assert all(line.startswith("{") for line in log.splitlines())  # and no print went in there


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "2>/dev/full"])
def test_errors_come_through_what_is_open(closed, folder):
    done = shell(f"{FAIL} {closed}", folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert (done.stderr == "") is ("2>" in closed)
    assert done.stderr.count("\n") == ("2>" not in closed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("line", [CHECK, TRAIN, "run_demo.py", "train_pretrain.py --help"])
def test_a_full_disk_is_one_line(line, folder):
    done = shell(f"{line} > /dev/full", folder)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "nudging" not in line]
    assert lines == ["error: No space left on device"]


def test_a_reader_that_went_away_is_no_error(folder):
    done = shell(f"{CHECK} | true", folder)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "escapes"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["plain", "NO_COLOR", "dumb"],
)
def test_an_error_is_red_where_that_is_wanted(environment, escapes, tmp_path):
    written = on_terminal(FAIL, tmp_path, **environment)
    assert b"error: nosuch" in written.replace(bytes(tmp_path) + b"/", b"")
    assert (b"\x1b" in written) is escapes


def test_a_table_without_colours(tmp_path):
    assert b"\x1b[32m" in on_terminal(CHECK, tmp_path)
    assert b"\x1b[32m" not in on_terminal(CHECK, tmp_path, NO_COLOR="1")


def test_training_on_a_dumb_terminal_is_told_in_lines(folder):
    written = on_terminal(TRAIN, folder, TERM="dumb")
    assert b"\x1b" not in written
    lines = written.decode().splitlines()
    first = lines.index("encoding training text")
    assert first < next(n for n, line in enumerate(lines) if line.startswith("run: "))


# The user's home


@pytest.fixture
def homeless(monkeypatch):
    """No HOME, and an account that the system does not know, as in many containers."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "LLM_EXPLAINER_CACHE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux finds a home")
def test_without_a_home_there_is_a_way_to_keep_downloads(homeless, monkeypatch, tmp_path):
    with pytest.raises(CorpusError, match="set LLM_EXPLAINER_CACHE"):
        download.cache_dir()
    monkeypatch.setenv("LLM_EXPLAINER_CACHE", str(tmp_path))
    assert download.cache_dir() == tmp_path
    monkeypatch.setenv("LLM_EXPLAINER_CACHE", "~nobody-of-that-name/x")
    with pytest.raises(CorpusError, match="set LLM_EXPLAINER_CACHE"):
        download.cache_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux finds a home")
def test_without_a_home_the_corpus_is_the_stories(homeless, command):
    words = [word for word in TRAIN.split()[1:] if not word.startswith("--corpus")]
    code, out, err = command(pretrain, *words, "--max-bytes=20000")
    assert (code, err) == (0, "")
    assert "stories" in out


# Folders, threads, memory


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_written_is_found_before_measuring(out, command, tmp_path):
    (tmp_path / "file").write_text("")
    result = command(profile, "--size=tiny", "--out", out)
    assert_one_line(result, f"cannot write folder {out}: ", "--out")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("can't start new thread"), "no more processes or threads"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "no more processes or threads"),
        (MemoryError("Unable to allocate 9 GiB"), "not enough memory; Unable to allocate 9 GiB"),
        (MemoryError(), "not enough memory; use a smaller model or batch"),
    ],
    ids=ascii,
)
def test_what_the_system_does_not_give_is_one_line(error, message, command):
    def fail() -> None:
        raise error

    assert_one_line(command(fail), message)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(RuntimeError, match="a bug"):
        run(fail)


def test_too_few_threads_are_found_at_the_start(command, monkeypatch):
    started = []

    def start(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)

    monkeypatch.setattr(limits, "available_cores", lambda: 2)
    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(threading.Thread, "join", lambda thread: None)
    limits.check_threads()  # no limit, nothing tried
    assert not started
    monkeypatch.setattr(limits, "_limit", lambda: 5)
    with pytest.raises(LLMExplainerError, match=r"3 more threads .* 2 processors takes 4"):
        limits.check_threads()


def test_enough_threads_under_a_limit(monkeypatch):
    before = threading.active_count()
    monkeypatch.setattr(limits, "_limit", lambda: 1000)
    limits.check_threads()
    assert threading.active_count() == before


# Set-up


def test_debug_is_in_every_list_of_options(command):
    for function in (profile, pretrain, generate, presets, gradcheck):
        code, out, _ = command(function, "--help", stdin=FakeInput())
        assert code == 0
        assert "--debug" in out


def test_debug_shows_the_traceback(monkeypatch):
    def fail() -> None:
        raise CorpusError("no text")

    monkeypatch.setattr(sys, "argv", ["command", "--debug"])
    with pytest.raises(CorpusError):
        run(fail)


def test_an_app_may_run_twice(monkeypatch, capsys):
    app = typer.Typer(add_completion=False)
    app.command()(presets)
    app.command()(profile)
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["command", "profile", "--help"])
        with pytest.raises(SystemExit):
            run(app)
        assert capsys.readouterr().out.count("--debug") == 1


def test_no_folder_that_a_command_makes_unasked_can_be_imported():
    # A folder "tokenizers" would be a package to Python, wherever the real one is not installed.
    assert not FOLDER.name.isidentifier()


def test_rich_is_new_enough_for_typer():
    ours = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for line in requires("typer") or []:
        needed = Requirement(line)
        if needed.name == "rich":
            oldest = max(spec.version for spec in needed.specifier).removesuffix(".0")
            assert f'"rich>={oldest}"' in ours
            return
    pytest.fail("typer does not say which rich it needs")
