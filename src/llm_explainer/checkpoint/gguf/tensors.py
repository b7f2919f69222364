"""The tensors of a GGUF file under the names that Hugging Face has for them, as float32.

llama.cpp turns neighbouring channels of a head against each other, we the two halves of it, as
transformers does. So its files of Llama hold the rows of queries and keys in another order, which
is undone here. (Files of its other architectures are as ours.)
"""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from types import ModuleType
from typing import Self

import numpy as np

from llm_explainer.checkpoint.gguf.header import BLOCKS, Header, StoredTensor
from llm_explainer.checkpoint.tensors import Array, Shape
from llm_explainer.errors import CheckpointError
from llm_explainer.program import extra

ROPE_FACTORS = "rope_freqs.weight"
"""By what Llama 3's rule divides each frequency; read with the config."""

LLAMA_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GPT2_NAMES = {
    "token_embd": "wte",
    "position_embd": "wpe",
    "output_norm": "ln_f",
    "output": "lm_head",
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_TENSOR = re.compile(r"(?:blk\.(?P<block>\d+)\.)?(?P<module>\w+)\.(?P<kind>weight|bias)")
_CONV1D = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # stored (in, out) by GPT-2


class GGUFTensors:
    """The tensors of one file, read one at a time; what ``TensorFiles`` is for safetensors.

    Args:
        path: the file.
        header: what it says of itself.
        n_heads: query heads, and key-value heads, where their rows are in llama.cpp's order; None
            where they are as ours.
    """

    def __init__(self, path: Path, header: Header, n_heads: tuple[int, int] | None) -> None:
        self._path, self._header, self._n_heads = path, header, n_heads
        is_gpt2 = header.values.get("general.architecture") == "gpt2"
        self._names = GPT2_NAMES if is_gpt2 else LLAMA_NAMES
        self._stored: dict[str, StoredTensor] = {}
        for name, tensor in header.tensors.items():
            if name != ROPE_FACTORS:
                self._stored[self._their_name(name)] = tensor
        self.shapes: dict[str, Shape] = {
            name: tensor.shape[::-1] if self._is_conv1d(name, tensor) else tensor.shape
            for name, tensor in self._stored.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def other_type(self) -> str | None:
        """Return the type beside float32 that most numbers have here, if any does."""
        sizes: dict[str, int] = {}
        for tensor in self._stored.values():
            label = BLOCKS[tensor.kind][0]
            sizes[label] = sizes.get(label, 0) + math.prod(tensor.shape)
        sizes.pop("F32", None)
        return max(sizes, key=lambda label: sizes[label]) if sizes else None

    @property
    def n_numbers(self) -> int:
        """How many numbers there are in all."""
        return sum(math.prod(tensor.shape) for tensor in self._stored.values())

    def check_type(self, name: str) -> None:
        """Do nothing: what the header told of is of a type that can be read."""

    def read(self, name: str) -> Array:
        """Return a tensor as float32.

        Raises:
            CheckpointError: it holds NaN or infinity; no package ``gguf`` for quantised numbers.
            OSError: the file can no longer be read.
        """
        tensor = self._stored[name]
        array = read_stored(self._path, tensor)
        if not np.isfinite(array).all():
            raise CheckpointError(f"{self._path}: {name} holds NaN or infinity; it is damaged")
        if self._n_heads is not None and name.endswith(("q_proj.weight", "q_proj.bias")):
            return halves_apart(array, self._n_heads[0])
        if self._n_heads is not None and name.endswith(("k_proj.weight", "k_proj.bias")):
            return halves_apart(array, self._n_heads[1])
        return array.T if self._is_conv1d(name, tensor) else array

    def _is_conv1d(self, name: str, tensor: StoredTensor) -> bool:
        module = name.removesuffix(".weight")
        return self._names is GPT2_NAMES and len(tensor.shape) == 2 and module.endswith(_CONV1D)

    def _their_name(self, name: str) -> str:
        match = _TENSOR.fullmatch(name)
        if match is None or match["module"] not in self._names:
            raise CheckpointError(
                f"{self._path}: the tensor {name!r} is no part of a model that we know"
            )
        stack = "h" if self._names is GPT2_NAMES else "model.layers"
        prefix = "" if match["block"] is None else f"{stack}.{int(match['block'])}."
        return f"{prefix}{self._names[match['module']]}.{match['kind']}"


def read_bytes(path: Path, tensor: StoredTensor) -> Array:
    """Return a tensor's bytes as they lie in the file, (n_bytes,).

    Raises:
        OSError: the file can no longer be read.
    """
    return np.fromfile(path, np.uint8, tensor.n_bytes, offset=tensor.start)


def read_stored(path: Path, tensor: StoredTensor) -> Array:
    """Return a tensor of a file as float32, of its shape.

    Raises:
        CheckpointError: no package ``gguf`` for quantised numbers.
        OSError: the file can no longer be read.
    """
    label, in_block, block_bytes = BLOCKS[tensor.kind]
    data = read_bytes(path, tensor)
    if label in ("F32", "F16"):
        numbers = data.view("<f4" if label == "F32" else "<f2").astype(np.float32, copy=False)
        return numbers.reshape(tensor.shape)
    if label == "BF16":  # the upper half of a float32's bits
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    quants = _quants()
    rows = data.reshape(-1, tensor.shape[-1] // in_block * block_bytes)
    kind = quants.GGMLQuantizationType(tensor.kind)
    with np.errstate(all="ignore"):  # damaged scales become NaN or infinity, which is looked for
        numbers = quants.dequantize(rows, kind)
    return np.asarray(numbers, np.float32).reshape(tensor.shape)


def halves_apart(rows: Array, n_heads: int) -> Array:
    """Return the rows (heads · H, ...) of llama.cpp's order in ours.

    Its pairs of channels that turn together are neighbours, ours are H / 2 apart.
    """
    heads = rows.reshape(n_heads, -1, 2, *rows.shape[1:])  # (heads, H/2, 2, ...)
    return heads.swapaxes(1, 2).reshape(rows.shape)


def neighbours(rows: Array, n_heads: int) -> Array:
    """Return rows (heads · H, ...) of ours in llama.cpp's order."""
    heads = rows.reshape(n_heads, 2, -1, *rows.shape[1:])  # (heads, 2, H/2, ...)
    return heads.swapaxes(1, 2).reshape(rows.shape)


def _quants() -> ModuleType:
    try:
        quants: ModuleType = importlib.import_module("gguf.quants")
    except ImportError:
        raise CheckpointError(
            "quantised weights take the package gguf, which is not installed; "
            f"{extra('gguf')} brings it"
        ) from None
    return quants
