"""What a function of ``plain/`` gives, as named arrays: its results and its gradients.

Right gradients are measured, by central differences of the right function: nobody's formula is the
judge of another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llm_explainer.gradcheck import numeric_gradient
from llm_explainer.tree import flatten

Array = NDArray[Any]
Arrays = dict[str, Array]
Kind = Literal["layer", "function", "functions", "lookup", "loss", "values"]
"""How a function of ``plain/`` returns: see its contract. "values": results alone."""


@dataclass(frozen=True)
class Call:
    """What a function is called with, and what its parts are called."""

    kind: Kind
    arguments: tuple[Any, ...]
    names: Sequence[str] = ()  # of the arguments that have gradients, as in ("q", "k", "v")
    factors: Sequence[tuple[str, float]] = ()  # that are easily forgotten, with their values
    records: bool = False  # whether it takes ``record``; what is recorded is compared, too
    base: Mapping[str, Array] = field(default_factory=dict)  # what results are changes of
    held: Callable[..., tuple[Any, ...]] | None = None  # holds what a gradient takes for constant


class AnswerError(Exception):
    """An answer that cannot be compared, as a sentence for the learner."""


def give(function: Callable[..., Any], call: Call) -> Arrays:
    """Return what a function gives: its result, and gradients for an upstream one that is random.

    Raises:
        AnswerError: something else than the function is to return.
        Exception: whatever it raises.
    """
    if call.kind == "values":
        return _named("result", function(*call.arguments))
    recorded: Arrays = {}
    options = {"record": recorded.__setitem__} if call.records else {}
    returned = function(*call.arguments, **options)
    y, backward = _pair(returned, "a result and its backward pass")
    result = "loss" if call.kind == "loss" else "y"
    given = {**{name: _array(array) for name, array in recorded.items()}, result: _array(y)}
    if call.kind == "loss":
        return {**given, f"d{call.names[0]}": _array(backward())}
    gradient = backward(upstream(given["y"].shape))
    if call.kind == "function":
        return {**given, f"d{call.names[0]}": _array(gradient)}
    if call.kind == "functions":
        if not isinstance(gradient, tuple) or len(gradient) != len(call.names):
            wanted = ", ".join(f"d{name}" for name in call.names)
            raise AnswerError(f"backward is to return {wanted}")
        pairs = zip(call.names, gradient, strict=True)
        return {**given, **{f"d{name}": _array(part) for name, part in pairs}}
    if call.kind == "layer":
        dx, gradient = _pair(gradient, "dx and grads")
        given["dx"] = _array(dx)
    if not isinstance(gradient, dict):
        raise AnswerError(f"grads is to be a dict, not {type(gradient).__name__}")
    return {**given, **_named("grads", gradient)}


def right_answer(function: Callable[..., Any], call: Call) -> Arrays:
    """Return what is right: the real function's result, and gradients that are measured."""
    given = give(function, call)
    if call.kind == "values":
        return given
    dy = np.array(1.0) if call.kind == "loss" else upstream(given["y"].shape)

    def weighted() -> float:
        arguments = call.held(*call.arguments) if call.held else call.arguments
        return float(np.vdot(function(*arguments)[0], dy))

    inputs: Arrays = {f"d{name}": call.arguments[i] for i, name in enumerate(call.names)}
    if call.kind in ("layer", "lookup"):
        inputs = {"dx": call.arguments[0]} if call.kind == "layer" else {}
        parameters = flatten(call.arguments[1])
        learned = [name for name in given if name.startswith("grads")]
        inputs |= {name: _parameter(parameters, name) for name in learned}
    return {
        name: numeric_gradient(weighted, inputs[name]) if name in inputs else array
        for name, array in given.items()
    }


def upstream(shape: tuple[int, ...]) -> Array:
    """Return a random dy: a constant one would hide mistakes, which softmax and norms cancel."""
    return np.random.default_rng(7).normal(size=shape)


def _parameter(parameters: dict[str, Any], name: str) -> Array:
    """Return the parameter of a gradient's name; a head that isn't tied has its own."""
    path = name.removeprefix("grads[").removesuffix("]").replace('"', "").replace("][", ".")
    if path == "head.weight" and path not in parameters:
        path = "token_embedding.weight"
    array: Array = parameters[path]
    return array


def _pair(returned: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise AnswerError(f"is to return {what}, not {type(returned).__name__}")
    return returned


def _named(name: str, value: Any) -> Arrays:
    """Return all arrays in a value, named by the way to each: ``grads["weight"]``."""
    if isinstance(value, tuple | list) and any(isinstance(v, dict | np.ndarray) for v in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {name: _array(value)}
    found: Arrays = {}
    for key, part in value.items():
        word = f'"{key}"' if isinstance(key, str) else str(key)
        found |= _named(f"{name}[{word}]", part)
    return found


def _array(value: Any) -> Array:
    """Return a value as an array of numbers.

    Raises:
        AnswerError: it is none.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise AnswerError("gives lists of different lengths where an array belongs") from None
    if array.dtype.kind not in "biuf":
        raise AnswerError(f"gives {value!r:.60} where an array of numbers belongs")
    return array
