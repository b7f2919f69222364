"""The file that a learner begins with: a real function, with a part of it cut out."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Literal

from llm_explainer.tutorial.excerpts import find_source

Cut = Literal["all", "forward", "backward"]
"""What of a function is cut out: all of its body, what comes before its backward pass, or that."""

_YOURS = 'raise NotImplementedError("this is yours to write")'


def write_template(source: str, cut: Cut, heading: str) -> str:
    """Return a file with a function's signature, docstring and the rest of what isn't cut out.

    ``source`` is the function's full name; ``heading`` says what to do, in one paragraph.
    """
    path, first, last = find_source(source)
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    function = _function(text, first)
    start, end, indent = _cut_lines(function, cut)
    module = ".".join(source.split(".")[:-1])
    kept = lines[first - 1 : start - 1], lines[end:last]
    hole = [" " * indent + _YOURS]
    if cut == "forward":
        hole.append("")
    body = "\n".join([*kept[0], *hole, *kept[1]])
    return f'"""{heading}\n"""\n\n{_imports(text, function, module)}\n\n\n{body}\n'


def _function(text: str, first: int) -> ast.FunctionDef:
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.lineno == first:
            return node
    raise ValueError("an exercise is of a function at the top of its module")


def _cut_lines(function: ast.FunctionDef, cut: Cut) -> tuple[int, int, int]:
    """Return the first and last line of what is cut out, and how far it is indented."""
    inner = next((n for n in function.body if isinstance(n, ast.FunctionDef)), function)
    body = function.body[1:]  # after the docstring
    if cut == "backward":
        return inner.body[0].lineno, inner.end_lineno or 0, inner.body[0].col_offset
    last = function.end_lineno if cut == "all" else inner.lineno - 1
    return body[0].lineno, last or 0, body[0].col_offset


def _imports(text: str, function: ast.FunctionDef, module: str) -> str:
    """Return the imports of what the function names, and of what its module has for it."""
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    own: set[str] = set()
    found: list[str] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            if any((alias.asname or alias.name) in used for alias in node.names):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if alias.name in used]
            if node.module == "__future__":
                found.insert(0, ast.unparse(node))
            elif names:
                found.append(f"from {node.module} import {', '.join(names)}")
        else:
            own |= _defined(node) & used
    own = {name for name in own if name != function.name and not name.startswith("_")}
    if own:
        found.append(f"from {module} import {', '.join(sorted(own))}")
    return "\n".join(found)


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


def is_untouched(file: Path) -> bool:
    """Return whether a file still has the hole that it came with.

    Raises:
        OSError: it cannot be read.
    """
    return _YOURS in file.read_text(encoding="utf-8")
