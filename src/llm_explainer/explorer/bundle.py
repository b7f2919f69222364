"""The scripts of ``page/`` as one: each keeps its own scope, and no browser has to load a file.

``import { a } from "./b.js"`` becomes a look-up, ``export`` a list of what a script hands out. The
files stay ES modules, so that a browser, an editor and a linter read them as they are.
"""

from __future__ import annotations

import re
from importlib.resources import files

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_FIRST = "main.js"


def bundle() -> str:
    """Return all scripts that ``main.js`` needs, each behind those that it needs itself."""
    ordered: dict[str, str] = {}
    _add(_FIRST, ordered, ())
    body = "\n".join(f"// {name}\n{text}" for name, text in ordered.items())
    return f'"use strict";\nconst modules = {{}};\n{body}'


def styles() -> str:
    """Return the style sheets, in the order of their names."""
    sheets = (f for f in files(__package__).joinpath("page").iterdir() if f.name.endswith(".css"))
    return "\n".join(f.read_text(encoding="utf-8") for f in sorted(sheets, key=lambda f: f.name))


def _add(name: str, ordered: dict[str, str], path: tuple[str, ...]) -> None:
    """Put a script behind those that it imports.

    Raises:
        ValueError: scripts need each other in a circle.
    """
    if name in path:
        raise ValueError(f"scripts import each other: {' -> '.join([*path, name])}")
    if name in ordered:
        return
    text = files(__package__).joinpath("page", name).read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(text):
        _add(needed, ordered, (*path, name))
    text = _IMPORT.sub(lambda m: f'const {m[1].replace(" as ", ": ")} = modules["{m[2]}"];\n', text)
    names = [export for _, export in _EXPORT.findall(text)]
    text = _EXPORT.sub(r"\1", text)
    ordered[name] = (
        f'modules["{name}"] = (() => {{\n{text}return {{ {", ".join(names)} }};\n}})();\n'
    )
