"""Break one line at a time, and see that a test notices: run by hand.

    uv run python tests/mutations.py [--target plain|numpy] [--only PATTERN] [--jobs 2]

The mutations stand in ``mutations_plain.txt`` and ``mutations_numpy.txt``: a heading names a file
and, where need be, the function or method in it; below come pairs of lines, what stands there (-),
exactly once, and what takes its place (+). A third line, ``= why``, marks a change that no test can
see because the code does the same with it. Each is made in a copy of the sources, never here.

Prints which test caught each. Exits with 1 if one survived that is not marked, or one that is
marked was caught.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "pyproject.toml")
TIME_LIMIT = 60.0
"""Seconds; tests that take longer hang, which is noticed too. Where the machine is so busy that
they take a third of it with nothing broken, it is three times as long as that."""

PLAIN_TESTS = ("plain", "plain_record", "plain_agreement", "architectures", "plain_page", "lora")
LAYER_TESTS = ("layer_values", "layer_edges", "layers", "plain_agreement")
TESTS: dict[str, tuple[str, ...]] = {
    "kernels": (*LAYER_TESTS, "pieces", "loss", "cache", "server_engine"),
    "norms": (*LAYER_TESTS, "cache", "server_engine"),
    "packing": ("packing",),
    "causal": (*LAYER_TESTS, "architectures", "pieces", "gradients"),
    "positions": (*LAYER_TESTS, "architectures"),
    "rope_frequencies": ("architectures", "checkpoint_golden"),
    "attention": (*LAYER_TESTS, "architectures", "cache", "pieces", "gradients", "server_engine"),
    "block": (*LAYER_TESTS, "cache", "gradients"),
    "model": ("layer_edges", "plain_agreement", "model", "cache", "freezing", "gradients"),
    "loss": ("loss", "layer_edges", "plain_agreement", "gradients"),
    "optimizer": ("optimizer", "plain_agreement"),
    "muon": ("muon",),
    "cache": ("cache", "generation"),
    "module": ("layers", "freezing"),
    "flat": ("freezing", "parameter_groups", "optimizer"),
    "train_step": ("train_step", "freezing"),
    "memory": ("freezing", "preflight"),
    "recompute": ("recompute",),
    "parameter_groups": ("parameter_groups", "muon"),
    "model_spec": ("freezing", "lora"),
    "lora": ("lora", "layers"),
}
"""For the files of ``numpy_backend``; the others are layers and nothing more."""


@dataclass(frozen=True)
class Mutation:
    """One snippet of one file, and what takes its place."""

    file: str  # below src/llm_explainer
    scope: str  # dotted name of a function or class in it; "" is the whole file
    old: str
    new: str
    equivalent: str  # why no test can see it, or ""

    def __str__(self) -> str:
        return f"{self.file} {self.scope}: {self.old}  ->  {self.new}"

    @property
    def tests(self) -> tuple[str, ...]:
        """The smallest set of test files that should see it, the likeliest first."""
        if self.file.startswith("plain/"):
            return PLAIN_TESTS
        return TESTS.get(Path(self.file).stem, LAYER_TESTS)

    def misfit(self) -> str:
        """Return why it does not fit the sources as they are now, or ""."""
        try:
            self.apply((ROOT / "src" / "llm_explainer" / self.file).read_text(encoding="utf-8"))
        except (OSError, StopIteration, SyntaxError, ValueError) as error:
            return f"{self}: {error or 'no such function'}"
        return ""

    def apply(self, source: str) -> str:
        """Return the file's source with the mutation made.

        Raises:
            StopIteration: there is no such function.
            ValueError: the snippet does not occur exactly once.
            SyntaxError: what results is no Python.
        """
        lines = source.splitlines(keepends=True)
        start, stop = _span(source, self.scope)
        part = "".join(lines[start:stop])
        if (count := part.count(self.old)) != 1:
            raise ValueError(f"occurs {count} times")
        mutated = "".join(lines[:start]) + part.replace(self.old, self.new) + "".join(lines[stop:])
        compile(mutated, self.file, "exec")
        return mutated


def read_mutations(path: Path) -> Iterator[Mutation]:
    """Yield the mutations of a list."""
    file = scope = ""
    pending: list[str] = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), "end"]:
        if line.startswith(("+ ", "= ")):
            pending.append(line[2:])
            continue
        if pending:
            old, new, equivalent = [*pending, ""][:3]
            yield Mutation(file, scope, old, new, equivalent)
        pending = [line[2:]] if line.startswith("- ") else []
        if not pending:
            file, _, scope = line.partition(" ")


def _span(source: str, scope: str) -> tuple[int, int]:
    """Return the first line of a function or class, from 0, and the one behind its last."""
    node: ast.AST = ast.parse(source)
    for name in scope.split(".") if scope else ():
        node = next(n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == name)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.lineno - 1, node.end_lineno or node.lineno
    return 0, len(source.splitlines())


class Copy:
    """A copy of the sources and tests, in which one line at a time is broken."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.time_limit = TIME_LIMIT
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        loaded = self._run([sys.executable, "-c", "import llm_explainer as m; print(m.__file__)"])[
            1
        ]
        if not loaded.startswith(str(folder)):
            raise RuntimeError(f"the tests would import {loaded.strip()}, not the copy")

    def test(self, mutation: Mutation) -> str:
        """Return what catches the mutation, or "" where all tests pass."""
        path = self.root / "src" / "llm_explainer" / mutation.file
        original = path.read_text(encoding="utf-8")
        path.write_text(mutation.apply(original), encoding="utf-8")
        try:
            return self.run_tests(mutation.tests)
        finally:
            path.write_text(original, encoding="utf-8")

    def run_tests(self, tests: tuple[str, ...]) -> str:
        """Return what fails as the sources are, or ""."""
        files = [f"tests/test_{name}.py" for name in tests]
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=no"]
        code, output = self._run([sys.executable, "-m", "pytest", *options, *files])
        if code == 0:
            return ""
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        return (
            found[1].removeprefix("tests/") if found else "time limit" if code is None else output
        )

    def _run(self, command: list[str]) -> tuple[int | None, str]:
        """Return a command's exit code, None past the time limit, and what it printed."""
        path = str(self.root / "src")
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that what the tests started ends with them
        )
        try:
            output, _ = process.communicate(timeout=self.time_limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, output


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--target", choices=("plain", "numpy"), help="default: both")
    parser.add_argument("--only", default="", help="a pattern of their file, function or snippets")
    parser.add_argument("--jobs", type=int, default=2, help="copies at work side by side")
    options = parser.parse_args()
    console = Console(markup=False, highlight=False, soft_wrap=True)
    targets = [options.target] if options.target else ["plain", "numpy"]
    lists = [Path(__file__).with_name(f"mutations_{target}.txt") for target in targets]
    mutations = [
        m for path in lists for m in read_mutations(path) if re.search(options.only, str(m))
    ]
    if outdated := [error for mutation in mutations if (error := mutation.misfit())]:
        console.print("\n".join(outdated))
        return 1
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies: queue.Queue[Copy] = queue.Queue()
        for i in range(options.jobs):
            copies.put(Copy(Path(folder, str(i))))

        def timed(run: Callable[[Copy], str]) -> tuple[str, float]:
            copy, start = copies.get(), time.perf_counter()
            try:
                return run(copy), time.perf_counter() - start
            finally:
                copies.put(copy)

        test_sets = list(dict.fromkeys(mutation.tests for mutation in mutations))
        unbroken = list(pool.map(lambda tests: timed(lambda c: c.run_tests(tests)), test_sets))
        for tests, (failed, seconds) in zip(test_sets, unbroken, strict=True):
            if failed:
                console.print(f"with nothing broken: {failed}")
                return 1
            console.print(f"{seconds:3.0f} s  with nothing broken: {', '.join(tests)}")
        for copy in copies.queue:
            copy.time_limit = max(TIME_LIMIT, 3 * max(seconds for _, seconds in unbroken))
        results = pool.map(lambda mutation: timed(lambda c: c.test(mutation)), mutations)
        for mutation, (caught, seconds) in zip(mutations, results, strict=True):
            wrong += bool(caught) == bool(mutation.equivalent)
            why = f"equivalent: {mutation.equivalent}" if mutation.equivalent else "SURVIVED"
            console.print(f"{seconds:3.0f} s  {caught or why}\n       {mutation}")
    console.print(f"{len(mutations)} mutations, {wrong} not as they should be")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
