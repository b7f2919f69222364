"""The house is as docs/architecture.md says: arrows point one way, and its files exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "llm_explainer"
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"
PROOFS = {"gradcheck", "parity", "parity_verdict"}
MOST_LINES = 300

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Return the Python modules of the package by their dotted names below it."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> Graph:
    """Return what each module imports at any time, but for type hints alone."""
    known = modules()
    graph: Graph = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = set()
        for node in walk_without_type_hints(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    below = inner.removeprefix("llm_explainer.")
                    found.add(inner if below in known else node.module)
        graph[name] = found
    return graph


def walk_without_type_hints(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk_without_type_hints(child)


def inside() -> Graph:
    """Return the imports among the package's own modules, by their names below it."""
    prefix = "llm_explainer."
    return {
        name: {target.removeprefix(prefix) for target in targets if target.startswith(prefix)}
        - {name}
        for name, targets in imports().items()
    }


def room(module: str) -> str:
    """Return the box of the picture in which a module is."""
    first = module.split(".")[0]
    if (SOURCE / first).is_dir():
        return first
    if first == "__main__":  # the way in, as the scripts are for a clone
        return "commands"
    return "proofs" if first in PROOFS else "foundations"


def test_the_picture_draws_the_imports_that_there_are() -> None:
    svg = ElementTree.parse(PICTURE).getroot()
    drawn = {
        (element.get("data-from"), element.get("data-to"))
        for element in svg.iter()
        if element.get("class") == "arrow"
    }
    pairs = {(room(name), room(x)) for name, targets in inside().items() for x in targets if name}
    assert drawn == {(a, b) for a, b in pairs if a != b and b != "foundations"}
    boxes = {element.get("id") for element in svg.iter() if element.get("id")}
    assert {room(name) for name in modules() if name} <= boxes


def test_the_ground_floor_knows_nobody_above() -> None:
    for name, targets in inside().items():
        if name and room(name) == "foundations":
            assert {room(target) for target in targets} <= {"foundations"}, name


def test_no_module_needs_itself() -> None:
    graph = inside()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for target in sorted(graph.get(name, ())):
            visit(target, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    ("room_", "forbidden"),
    [
        ("plain", ("mlx", "llm_explainer.numpy_backend", "llm_explainer.mlx_backend")),
        ("numpy_backend", ("mlx", "llm_explainer.mlx_backend")),
        ("mlx_backend", ("llm_explainer.numpy_backend",)),
    ],
)
def test_the_tellings_know_nothing_of_each_other(room_: str, forbidden: tuple[str, ...]) -> None:
    for name, targets in imports().items():
        if name.split(".")[0] == room_:
            for target in targets:
                assert not f"{target}.".startswith(tuple(f"{word}." for word in forbidden)), name


def test_mlx_is_imported_by_its_backend_alone() -> None:
    users = {
        name.split(".")[0]
        for name, targets in imports().items()
        if any(f"{target}.".startswith("mlx.") for target in targets)
    }
    assert users == {"mlx_backend"}


def test_the_backends_have_the_same_files() -> None:
    """But for what makes NumPy fast: MLX schedules, fuses and allocates on its own."""
    files = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
        for folder in (SOURCE / "numpy_backend", SOURCE / "mlx_backend")
    ]
    numpy_only = {"causal.py", "kernels.py"}
    numpy_only |= {f"engine/{name}.py" for name in ("allocator", "flat", "workers")}
    assert files[0] - files[1] == numpy_only
    assert files[1] <= files[0]


def test_every_file_that_the_page_names_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 30
    for link in links:
        assert (PAGE.parent / link).exists(), link
    names = set(re.findall(r"`([\w/]+(?:\.py|/))`", text))
    assert names
    for name in names:  # from the root, the package, or, of both backends, the backend
        places = (ROOT / name, SOURCE / name, SOURCE / "numpy_backend" / name)
        assert any(place.exists() for place in places), name


def test_no_file_is_long() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): n_lines
        for folder in ("src", "benchmarks", "Tutorial", "tests")
        for path in (ROOT / folder).rglob("*.py*")
        if path.suffix in (".py", ".pyx")
        and (n_lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_the_map_of_the_readme_is_complete() -> None:
    """Every file and folder at the top of the package, in its block of text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1]
    names = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in SOURCE.iterdir()
        if not path.name.startswith(("_", ".")) and path.suffix in ("", ".py")
    }
    words = set(text.replace(";", " ").replace(":", " ").split())
    assert names <= words
    for word in words:
        if re.fullmatch(r"[a-z_0-9/]+(\.py|/)", word):
            assert [*ROOT.glob(word), *ROOT.glob(f"tests/{word}"), *SOURCE.rglob(word)], word
