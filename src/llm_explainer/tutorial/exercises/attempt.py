"""A learner's file, run in a process of its own: what goes wrong there stays there.

    python -m llm_explainer.tutorial.exercises.attempt 4.2 learning/04-2-softmax.py OUT.npz

writes what the file's function gives into OUT.npz. What is right it does not know.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from importlib import util
from pathlib import Path

import numpy as np

from llm_explainer.errors import ConfigError
from llm_explainer.tutorial.exercises.answers import AnswerError, Arrays, give
from llm_explainer.tutorial.exercises.table import Exercise, find_exercise

SECONDS = 20.0
"""Longer than any right answer takes on a slow machine."""

_FAILED = 3  # exit code: the answer can't be compared; stderr's last line says why


def try_answer(exercise: Exercise, file: Path, seconds: float = SECONDS) -> list[Arrays]:
    """Return what the function in a learner's file gives, for each call.

    Raises:
        AnswerError: it raised, ran too long, or gave something else than numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        words = [sys.executable, "-m", __name__, exercise.name, str(file), str(out)]
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AnswerError(
                f"was not done after {seconds:g} seconds; is there a loop without an end?"
            ) from None
        if done.returncode or not out.exists():
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = (
                lines[-1]
                if lines and done.returncode == _FAILED
                else (f"ended its process (exit code {done.returncode})")
            )
            raise AnswerError(reason)
        with np.load(out, allow_pickle=False) as arrays:
            names = [(int(key.partition(":")[0]), key) for key in arrays.files]
            return [
                {key.partition(":")[2]: arrays[key] for i, key in names if i == number}
                for number in range(len(exercise.calls))
            ]


def run_file(exercise: Exercise, file: Path) -> list[Arrays]:
    """Run a learner's file here, and return what its function gives, for each call.

    Raises:
        AnswerError: it raises, has no such function, or gave something else than numbers.
    """
    try:
        spec = util.spec_from_file_location("answer", file)
        if spec is None or spec.loader is None:
            raise AnswerError(f"{file} is no Python file")
        module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
        function = getattr(module, exercise.function, None)
        if not callable(function):
            raise AnswerError(f"has no function {exercise.function}")
        return [give(function, call) for call in exercise.make_calls()]
    except AnswerError:
        raise
    except Exception as error:
        raise AnswerError(_where(error, file)) from error


def _where(error: Exception, file: Path) -> str:
    """Return what was raised, and at which line of the learner's file."""
    if isinstance(error, SyntaxError):
        return f"is no Python: {error.msg} (line {error.lineno})"
    what = " ".join(f"raises {type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
    return f"{what} (line {lines[-1]})" if lines else what


def main(name: str, file: str, out: str) -> int:
    """Run an exercise's answer, and write what it gives; return the exit code."""
    chapter, number = (int(part) for part in name.split("."))
    try:
        tries = run_file(find_exercise(chapter, number), Path(file))
    except (AnswerError, ConfigError) as error:
        sys.stderr.write(f"\n{error}\n")
        return _FAILED
    named = {f"{i}:{key}": array for i, given in enumerate(tries) for key, array in given.items()}
    np.savez(out, **named)  # type: ignore[arg-type]  # names are ours
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
