"""Builds the tokenizer's compiled core where that is possible; the rest is in pyproject.toml.

Without Cython or a C++ compiler the package installs as well, and the same functions run in Python
and NumPy.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

CORE = "src/llm_explainer/tokenizer/core"


def core_modules() -> list[Extension]:
    """Return the extension modules, or none where Cython is missing."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    modules: list[Extension] = cythonize(
        [
            Extension(
                f"llm_explainer.tokenizer.core.{path.stem}", [path.as_posix()], language="c++"
            )
            for path in sorted(Path(CORE).glob("*.pyx"))
        ],
        build_dir="build/cython",
    )
    for module in modules:
        module.optional = True  # that it cannot be built is a warning; cythonize forgets this
    return modules


setup(ext_modules=core_modules())
