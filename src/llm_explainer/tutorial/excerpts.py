"""What an excerpt of the source has to be: found by name, in the text of the files, nothing run.

So the twin on MLX can be quoted where MLX isn't installed, and a function inside another by its
name: ``llm_explainer.plain.layers.linear.backward``.
"""

from __future__ import annotations

import ast
import textwrap
from functools import cache
from pathlib import Path

import llm_explainer

_PACKAGE = Path(llm_explainer.__file__).parent
_SEPARATOR = " ... "


class ExcerptError(ValueError):
    """What is wrong with an excerpt, as the rest of a sentence."""


def check_excerpt(shown: str, name: str, part: str = "") -> None:
    """Compare an excerpt with the source, without docstring and without the indentation of both.

    Args:
        shown: the excerpt's text.
        name: of a module, or of a function, class or constant in it.
        part: the first and the last line of a part, stripped, ``" ... "`` between them.

    Raises:
        ExcerptError: there is no such source, or it differs.
    """
    path, node = _find(name)
    texts = [_text(path, node, docstring=False), _text(path, node, docstring=True)]
    if part:
        texts = [_cut(text, part, name) for text in texts]
    mine = _tidy(shown)
    wanted = [_tidy(text) for text in texts]
    if mine not in wanted:
        raise ExcerptError(f"isn't what {name} is: {_difference(mine, wanted[0])}")


def find_source(name: str) -> tuple[Path, int, int]:
    """Return the file of a module, function, class or constant, its first and its last line.

    Raises:
        ExcerptError: there is none.
    """
    path, node = _find(name)
    if isinstance(node, ast.Module):
        return path, 1, len(path.read_text(encoding="utf-8").splitlines())
    return path, _first_line(node), node.end_lineno or 0


def _find(name: str) -> tuple[Path, ast.Module | ast.stmt]:
    words = name.split(".")
    if words[0] != _PACKAGE.name:
        raise ExcerptError(f"comes from {name}, which is not in {_PACKAGE.name}")
    path, rest = _PACKAGE, words[1:]
    while rest and (path / rest[0]).is_dir():
        path, rest = path / rest[0], rest[1:]
    if rest and (path / f"{rest[0]}.py").is_file():
        path, rest = path / f"{rest[0]}.py", rest[1:]
    else:
        path = path / "__init__.py"
    node: ast.Module | ast.stmt = _parse(path)
    for word in rest:
        inside = [child for child in ast.walk(node) if child is not node and _names(child, word)]
        if not inside:
            raise ExcerptError(f"comes from {name}, which does not exist")
        found = inside[0]  # ast.walk goes level by level: the outermost
        assert isinstance(found, ast.stmt)
        node = found
    return path, node


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _names(node: ast.AST, word: str) -> bool:
    """Return whether a node defines a name."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name == word
    if isinstance(node, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id == word for t in node.targets)
    return isinstance(node, ast.AnnAssign) and getattr(node.target, "id", None) == word


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno] + [decorator.lineno for decorator in decorators])


def _text(path: Path, node: ast.Module | ast.stmt, *, docstring: bool) -> str:
    """Return a node's source, with its docstring or without."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first, last = (
        (1, len(lines))
        if isinstance(node, ast.Module)
        else (_first_line(node), node.end_lineno or 0)
    )
    left_out: range | tuple[()] = ()
    body = getattr(node, "body", [])
    if not docstring and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            end = body[0].end_lineno or 0
            while end < last and not lines[end].strip():
                end += 1  # the empty lines below it belong to it
            left_out = range(body[0].lineno, end + 1)
    return "\n".join(lines[i - 1] for i in range(first, last + 1) if i not in left_out)


def _cut(text: str, part: str, name: str) -> str:
    """Return the lines from the first to the last that ``part`` names."""
    lines = text.splitlines()
    stripped = [line.strip() for line in lines]
    pieces = part.split(_SEPARATOR)
    for i in range(1, len(pieces)):  # a line may hold dots of its own
        first, last = _SEPARATOR.join(pieces[:i]).strip(), _SEPARATOR.join(pieces[i:]).strip()
        if first in stripped:
            start = stripped.index(first)
            if last in stripped[start:]:
                return "\n".join(lines[start : stripped.index(last, start) + 1])
    if part.strip() in stripped:
        return lines[stripped.index(part.strip())]
    raise ExcerptError(f"is a part that {name} does not have: {part}")


def _tidy(text: str) -> list[str]:
    """Return lines without common indentation, and without empty lines around them."""
    return [line.rstrip() for line in textwrap.dedent(text).strip("\n").splitlines()]


def _difference(shown: list[str], source: list[str]) -> str:
    for mine, right in zip(shown, source, strict=False):
        if mine != right:
            return f"{mine.strip()!r} where the source has {right.strip()!r}"
    return f"{len(shown)} lines where the source has {len(source)}"
