"""The tokenizer's parts know each other one way only, and one place decides which of them runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_explainer

ROOT = Path(llm_explainer.__file__).parent
TOKENIZER = "llm_explainer.tokenizer."
KNOWS = {
    "core": {"core"},
    "readable": {"readable", "checks"},
    "fast": {"fast", "core", "readable"},
    "files": {"files", "readable", "checks", "base"},
}


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of every module, or of a name in it, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("part", KNOWS)
def test_arrows_point_one_way(part: str) -> None:
    for path in (ROOT / "tokenizer" / part).glob("*.py"):
        names = [n.removeprefix(TOKENIZER) for n in imported(path) if n.startswith(TOKENIZER)]
        assert {name.split(".")[0] for name in names} <= KNOWS[part], path


def test_the_tokenizer_knows_nothing_of_corpora() -> None:
    for path in (ROOT / "tokenizer").rglob("*.py"):
        assert not [n for n in imported(path) if n.startswith("llm_explainer.data")], path


def test_one_place_decides_which_way_runs() -> None:
    asking = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "core_in_use()" in path.read_text(encoding="utf-8")
    }
    # The package defines it, one module decides by it, and people are told.
    assert asking == {
        "tokenizer/core/__init__.py",
        "tokenizer/fast/choice.py",
        "console/tokenizer_facts.py",
    }
