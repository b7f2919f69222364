"""Command-line options made from dataclass fields: one place for names, defaults and help."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer

from llm_explainer.errors import ConfigError
from llm_explainer.settings import help_of

Command = TypeVar("Command", bound=Callable[..., None])


@dataclasses.dataclass(frozen=True)
class Options:
    """Options for the fields of a dataclass, under one heading of ``--help``."""

    panel: str
    source: type
    omit: tuple[str, ...] = ()
    optional: bool = False  # every default is None, "as it is elsewhere", whatever the field's
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields whose default is None too, with words for ``--help`` that say what it comes to."""

    @property
    def names(self) -> set[str]:
        """The fields that have an option."""
        return {field.name for field in self._fields()}

    def parameters(self) -> Iterable[inspect.Parameter]:
        """Yield what the options are as parameters of a function."""
        hints = get_type_hints(self.source)
        for field in self._fields():
            kind = hints[field.name]
            if get_origin(kind) is Literal or (str in get_args(kind) and field.default is not None):
                kind = str  # of what can be written in several ways, that is the one for a command
            flag = "--" + field.name.replace("_", "-")
            flags = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
            option = typer.Option(
                flags,
                help=help_of(field),
                rich_help_panel=self.panel,
                show_default=self.elsewhere.get(field.name, True),
            )
            may_be_none = self.optional or field.name in self.elsewhere
            default = "" if kind is str and field.default == () else field.default
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if may_be_none else default,
                annotation=Annotated[kind | None if may_be_none else kind, option],
            )

    def take(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return those of ``values`` that belong to these options and were given."""
        return {name: values[name] for name in self.names if values[name] is not None}

    def _fields(self) -> list[dataclasses.Field[Any]]:
        return [f for f in dataclasses.fields(self.source) if f.name not in self.omit]


def with_options(*groups: Options) -> Callable[[Command], Command]:
    """Give a command the options of ``groups``; it receives them as ``**settings``."""

    def decorate(command: Command) -> Command:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        generated = [parameter for group in groups for parameter in group.parameters()]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *generated)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def given(context: typer.Context) -> set[str]:
    """Return the names of the options that were typed, not left at their defaults."""
    return {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }


def refuse(names: set[str], because: str) -> None:
    """Refuse options that cannot go together with another one.

    Raises:
        ConfigError: there are any.
    """
    if names:
        flags = ", ".join("--" + name.replace("_", "-") for name in sorted(names))
        raise ConfigError(f"{because}; leave out {flags}")
