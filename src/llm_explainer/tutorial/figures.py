"""Drawing the Tutorial's figures again, and whether that gives what is committed."""

from __future__ import annotations

import re
from importlib import util
from pathlib import Path
from types import ModuleType

_SCRIPT = re.compile(r"figure_(?P<number>\d\d)_(?P<name>\w+)\.py")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_COLOR = re.compile(r"#[0-9a-f]{6}\b")
_NAMES = re.compile(r'(?<=id=")[^"]+|(?<=url\(#)[^)]+|(?<=href="#)[^"]+')

TOLERANCE = 0.02
"""Points by which a place may be elsewhere: less than can be seen."""


def find_scripts(folder: Path, chapter: int) -> list[Path]:
    """Return the scripts that draw a chapter's figures."""
    return [
        path
        for path in sorted(folder.glob("figure_*.py"))
        if (match := _SCRIPT.fullmatch(path.name)) and int(match["number"]) == chapter
    ]


def draw(script: Path, folder: Path) -> list[Path]:
    """Let a script draw into a folder, and return what it drew.

    Raises:
        Exception: whatever the script raises.
    """
    _load(script).draw(folder)
    return sorted(folder.glob("*.svg"))


def same_picture(one: str, other: str) -> bool:
    """Return whether two SVGs show the same: but for names inside, and for what nobody can see.

    Another BLAS, or another processor, moves a point by a rounding error.
    """
    first, second = _rename(one), _rename(other)
    if first == second:
        return True
    if _blank(first) != _blank(second):
        return False
    pairs = zip(_numbers(first), _numbers(second), strict=True)
    return all(abs(a - b) <= TOLERANCE for a, b in pairs)


def _load(script: Path) -> ModuleType:
    spec = util.spec_from_file_location(script.stem, script)
    assert spec is not None  # a file that is called .py has one
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rename(svg: str) -> str:
    """Return an SVG whose inner names are numbered as they come: they are made from places."""
    names: dict[str, str] = {}
    return _NAMES.sub(lambda match: names.setdefault(match[0], f"name{len(names)}"), svg)


def _blank(svg: str) -> str:
    return _NUMBER.sub("0", _COLOR.sub("#", svg))


def _numbers(svg: str) -> list[float]:
    """Return all numbers, of colours in hundredths of a step."""
    colors = [int(c[i : i + 2], 16) / 100 for c in _COLOR.findall(svg) for i in (1, 3, 5)]
    return [*colors, *(float(number) for number in _NUMBER.findall(_COLOR.sub("#", svg)))]
