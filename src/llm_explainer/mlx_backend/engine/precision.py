"""Computing in fewer bits than the parameters are kept in.

Mixed precision (Micikevicius et al. 2018, section 3): the parameters, the optimizer's state, the
loss and the sums of gradients stay float32; products and what is kept for the backward pass are
bfloat16, with float32's range and 8 bits of precision instead of 24. Its range is why the loss need
not be scaled, as it must be for float16.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import mlx.core as mx

from llm_explainer.errors import ConfigError
from llm_explainer.mlx_backend.module import Array, Module
from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree, flatten, unflatten

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
