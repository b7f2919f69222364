"""The plain model stays a page: short, sourced, every function with an example that is true."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import io
import re
import tokenize
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import llm_explainer
from llm_explainer import ModelConfig, plain

FILES = sorted(Path(plain.__file__).parent.glob("*.py"))
MAX_CODE_LINES, MAX_FUNCTION_LINES = 480, 40
MAX_ADAPTER_LINES = 40  # of lora.py, which is no part of the model
SOURCE = re.compile(
    r"\((?:[A-Z]\w+(?:, | and | ))+(?:et al\. )?(?:19|20)\d\d, (?:sections?|algorithm) \d[\d.]*"
)
"""Authors, year and section, such as (Ba et al. 2016, section 3)."""

each_file = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
each_function = pytest.mark.parametrize("name", plain.__all__)


def code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that hold code: no blanks, comments or docstrings."""
    layout = (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (*layout, tokenize.ENDMARKER):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def import_module(path: Path) -> ModuleType:
    name = "llm_explainer.plain" if path.stem == "__init__" else f"llm_explainer.plain.{path.stem}"
    return importlib.import_module(name)


def test_lines_of_code_are_counted_as_said() -> None:
    source = (
        '"""Doc\n\nstring."""\n\n# why\ndef f(x):\n    """Doc."""\n    return (\n        x\n    )\n'
    )
    assert code_lines(source) == {6, 8, 9, 10}


def test_the_model_fits_480_lines() -> None:
    n_lines = {path.stem: len(code_lines(path.read_text())) for path in FILES}
    assert n_lines.pop("lora") <= MAX_ADAPTER_LINES
    assert sum(n_lines.values()) <= MAX_CODE_LINES


@each_file
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    source = path.read_text()
    lines = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.ClassDef)
        if isinstance(node, ast.FunctionDef):
            own = lines & set(range(node.lineno, (node.end_lineno or 0) + 1))
            assert len(own) <= MAX_FUNCTION_LINES, f"{node.name}: {len(own)} lines"


@each_file
def test_every_printed_number_is_true(path: Path) -> None:
    names = {"np": np, "ModelConfig": ModelConfig}
    assert doctest.testmod(import_module(path), extraglobs=names).failed == 0


@each_function
def test_every_function_has_a_source_and_an_example(name: str) -> None:
    doc = inspect.getdoc(getattr(plain, name)) or ""
    assert SOURCE.search(doc), doc
    assert f"{name}(" in doc[doc.index(">>> ") :]


def test_every_public_function_is_exported_and_in_the_reading_order() -> None:
    order = re.findall(r"^    (\w+) +([a-z_].*)$", plain.__doc__ or "", re.MULTILINE)
    files = [name for name, _ in order]
    assert sorted(files) == sorted(path.stem for path in FILES if path.stem != "__init__")
    told = set(re.findall(r"\w+", ", ".join(text for name, text in order if name != "contract")))
    assert told - {"RoPE"} == set(plain.__all__)
    defined = set()
    for path in FILES:
        if path.stem in ("__init__", "contract"):
            continue
        module = import_module(path)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                defined.add(name)
        for source in re.findall(
            r"^from llm_explainer\.plain\.(\w+) import", path.read_text(), re.M
        ):
            assert files.index(source) < files.index(path.stem), f"{path.stem} reads {source}"
    assert defined == set(plain.__all__)


def test_plain_is_a_public_name() -> None:
    assert llm_explainer.plain is plain
