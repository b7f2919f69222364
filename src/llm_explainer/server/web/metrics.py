"""The service's figures as text that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from llm_explainer.server.stats import Stats

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GAUGES = {"waiting", "running", "prefix_bytes"}
_NAME = "llm_explainer"


def write_metrics(stats: Stats, answers: Counter[tuple[str, int]]) -> str:
    """Return the engine's figures, and how many answers each address gave, by their status."""
    return "\n".join([*_of_engine(stats), *_of_answers(answers)]) + "\n"


def _of_engine(stats: Stats) -> Iterator[str]:
    help_of = _help(Stats.__doc__ or "")
    for field in fields(stats):
        kind = "gauge" if field.name in _GAUGES else "counter"
        name = f"{_NAME}_{field.name}" + ("" if kind == "gauge" else "_total")
        yield f"# HELP {name} {help_of.get(field.name, field.name)}"
        yield f"# TYPE {name} {kind}"
        yield f"{name} {getattr(stats, field.name)}"


def _of_answers(answers: Counter[tuple[str, int]]) -> Iterator[str]:
    name = f"{_NAME}_http_answers_total"
    yield f"# HELP {name} Answers by address and status."
    yield f"# TYPE {name} counter"
    for (address, status), count in sorted(answers.items()):
        yield f'{name}{{address="{address}",status="{status}"}} {count}'


def _help(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each attribute, where it is one line."""
    lines = [line.strip() for line in docstring.partition("Attributes:")[2].splitlines()]
    pairs = (line.partition(": ") for line in lines)
    return {name: f"{text[:1].upper()}{text[1:]}" for name, colon, text in pairs if colon}
