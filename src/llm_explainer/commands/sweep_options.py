"""What a sweep is over: options of a training script, each with one value or with several.

Nothing here knows an option by name but those that a sweep decides itself: what a script takes is
read from the script's own command.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import typer

from llm_explainer.errors import ConfigError
from llm_explainer.program import typed
from llm_explainer.training.sweeps.grid import write_value

OWN = {"out", "overwrite", "resume", "distributed", "debug", "help", "seed"}
"""Options of the scripts that a sweep decides itself."""


@dataclass(frozen=True)
class Value:
    """One value of an option."""

    words: tuple[str, ...]  # as a command line has it
    text: str  # as people read it: the same for 1e-3 and 0.001


@dataclass(frozen=True)
class Script:
    """A training script.

    Args:
        name: of its command.
        function: its command.
        lists: options whose one value may have commas in it.
    """

    name: str
    function: Callable[..., None]
    lists: tuple[str, ...] = ()

    @cached_property
    def command(self) -> Any:
        """What reads the script's command line."""
        program = typer.Typer(add_completion=False)
        program.command()(self.function)
        return typer.main.get_command(program)

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the values of all options, by parameter name, that a command line means.

        Raises:
            TyperException: it cannot be read.
        """
        context = self.command.make_context(typed(self.name), list(words))
        values: dict[str, Any] = context.params
        return values

    def choices(self, words: Sequence[str]) -> dict[str, list[Value]]:
        """Return the values of each option on a sweep's command line, by the option's name.

        Several stand in one word, divided by commas, or come with the option again and again.

        Raises:
            ConfigError: an option that the script lacks or a sweep decides; the same value twice.
            TyperException: a value that the option cannot take.
        """
        choices: dict[str, list[Value]] = {}
        for flag, texts in self._occurrences(words):
            option = self._options[flag]
            name = option.opts[-1].removeprefix("--")
            for text in texts:
                typed = (flag,) if text is None else (f"{flag}={text}",)
                value = Value(typed, write_value(self.read(typed)[option.name]))
                known = choices.setdefault(name, [])
                if value.text in [other.text for other in known]:
                    raise ConfigError(f"--{name} has {value.text} twice; name each value once")
                known.append(value)
        return choices

    @cached_property
    def _options(self) -> Mapping[str, Any]:
        """The script's options, by each of their flags, but for those that are a sweep's own."""
        return {
            flag: option
            for option in self.command.params
            if option.name not in OWN
            for flag in (*option.opts, *option.secondary_opts)
        }

    def _occurrences(self, words: Sequence[str]) -> Iterator[tuple[str, list[str | None]]]:
        """Yield each option on a command line and its values; None for a flag without one."""
        rest = list(words)
        while rest:
            flag, has_value, text = rest.pop(0).partition("=")
            if flag not in self._options:
                raise ConfigError(self._unknown(flag))
            option = self._options[flag]
            if option.is_flag:
                if has_value:
                    raise ConfigError(f"{flag} takes no value; name it, or its opposite, or both")
                yield flag, [None]
                continue
            if not has_value:
                if not rest:
                    raise ConfigError(f"{flag} takes a value, or several: {flag}=A,B")
                text = rest.pop(0)
            yield flag, [text] if option.name in self.lists else [*text.split(",")]

    def _unknown(self, flag: str) -> str:
        name = flag.removeprefix("--").replace("-", "_")
        if name == "seed":
            return "a sweep has its seeds as --seeds 0,1,2"
        if name in OWN:
            return f"a sweep decides {flag} itself; leave it out"
        if not flag.startswith("--"):
            return f"{flag!r} is no option; several values go with commas and no spaces: --rank 4,8"
        near = difflib.get_close_matches(flag, self._options, 1)
        hint = f"did you mean {near[0]}?" if near else f"{typed(self.name, '--help')} shows all"
        return f"{typed(self.name)} has no option {flag}; {hint}"
