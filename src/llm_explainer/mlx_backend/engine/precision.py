"""Computing in fewer bits than the parameters are kept in.

Mixed precision (Micikevicius et al. 2018, section 3): the parameters, the optimizer's state, the
loss and the sums of gradients stay float32; products and what is kept for the backward pass are
bfloat16, with float32's range and 8 bits of precision instead of 24. Its range is why the loss need
not be scaled, as it must be for float16.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx

from llm_explainer.errors import ConfigError
from llm_explainer.mlx_backend.layers import Embedding, Linear
from llm_explainer.mlx_backend.module import Array, Module
from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree, flatten, unflatten

Read = Callable[[str], Any]
GROUP_SIZE = 64
"""Numbers that share a scale where weights are kept in few bits, as mlx-lm has it."""
BITS = (4, 8)

DTYPES: dict[str, mx.Dtype] = {"float32": mx.float32, "bfloat16": mx.bfloat16}


def check_dtype(dtype: str) -> None:
    """Raise a ConfigError where training cannot compute in ``dtype`` on this device."""
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}; choose one of {', '.join(DTYPES)}")
    try:
        mx.eval(mx.ones((2, 2), DTYPES[dtype]) @ mx.ones((2, 2), DTYPES[dtype]))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"dtype is {dtype!r}, which {mx.default_device()} lacks ({reason}); use float32"
        ) from None


def in_precision(model: Module, dtype: mx.Dtype) -> Tree:
    """Return a model's parameters as a training step computes with them.

    Tables of embeddings stay as they are: the gradient of a frequent token's row is a sum over all
    its places, and one by one added up in bfloat16 it stands still at 256 times a place's share.
    """
    parameters, groups = model.parameters(), flatten(model.groups())
    converted = {
        name: array.astype(dtype) if _converts(array, groups[name]) else array
        for name, array in flatten(parameters).items()
    }
    return unflatten(converted, like=parameters)


def _converts(array: Array, group: Group) -> bool:
    return group != "table" and mx.issubdtype(array.dtype, mx.floating)  # others are packed bits


def filler(dtype: str, bits: int | None) -> Callable[[Any, Read], None]:
    """Return what fills a new model with what ``read`` returns for each parameter's dotted name.

    The model is then one for inference: kept in ``dtype``, and its matrices in ``bits`` where they
    have whole groups of 64 in a row (but for learned positions, which are few). Layer by layer, so
    that it is never there in float32 as a whole.

    Raises:
        ConfigError: no such dtype or number of bits.
    """
    check_dtype(dtype)
    if bits is not None and bits not in BITS:
        raise ConfigError(f"quantize is {bits}; choose one of {', '.join(map(str, BITS))}")

    def fill(model: Any, read: Read) -> None:
        model.dtype = DTYPES[dtype]
        for name, parent, attribute in list(_layers(model)):
            layer = parent[attribute]
            layer.update_each(lambda leaf, name=name: read(f"{name}.{leaf}"))
            if bits is not None and _can_be_packed(name, layer):
                # Scales stay float32: in bfloat16 they made SmolLM2's logits in 8 bits five times
                # worse.
                pack = layer.packed if isinstance(layer, Embedding) else layer.to_quantized
                parent[attribute] = layer = pack(GROUP_SIZE, bits)
            else:
                _cast(layer, DTYPES[dtype])
            mx.eval(layer.parameters())

    return fill


def _layers(module: Module, prefix: str = "") -> Iterator[tuple[str, Module, str]]:
    """Yield every layer with arrays of its own: its dotted name, and which attribute of what."""
    for attribute, child in module.items():
        children = child if isinstance(child, list) else [child]
        for place, each in enumerate(children):
            if isinstance(each, Module):
                number = f".{place}" if isinstance(child, list) else ""
                name = f"{prefix}{attribute}{number}"
                if any(isinstance(value, mx.array) for value in each.parameters().values()):
                    yield name, module, attribute
                yield from _layers(each, f"{name}.")


def _cast(layer: Module, dtype: mx.Dtype) -> None:
    for name, array in layer.items():
        if isinstance(array, mx.array):
            layer[name] = array.astype(dtype)


def _can_be_packed(name: str, layer: Module) -> bool:
    is_matrix = isinstance(layer, Linear | Embedding) and name != "position_embedding"
    return is_matrix and layer["weight"].shape[-1] % GROUP_SIZE == 0
