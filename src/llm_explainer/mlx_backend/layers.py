"""Linear, Embedding and Dropout.

An MLX module is a dict of its arrays, and finds them by key ten times faster than as attributes.
For the many small products of generation that counts.

Letters: I and O input and output dims, D = d_model.

Explained in ``Tutorial/02 - Embeddings.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import mlx.core as mx

from llm_explainer.init import Init
from llm_explainer.mlx_backend.module import Array, Backward, Key, Keys, Module, with_backward
from llm_explainer.parameter_groups import Group


class Linear(Module):
    """y = x Wᵀ + b, with W (O, I) as in mlx.nn and PyTorch, so checkpoints never transpose."""

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        bias: bool = True,
        *,
        init: Init,
        scale: float = 1,
        group: Group = "matrix",
    ) -> None:
        super().__init__()
        self.weight = mx.array(init((output_dims, input_dims), scale))  # (O, I)
        self.bias = mx.zeros(output_dims) if bias else None  # (O,)
        self._group: Group = group

    @classmethod
    def of(cls, weight: Array, bias: Array | None, group: Group) -> Self:
        """Return a layer of these very arrays, (O, I) and (O,)."""
        layer = cls.__new__(cls)
        Module.__init__(layer)
        layer.weight, layer.bias, layer._group = weight, bias, group
        return layer

    def group_of(self, name: str) -> Group:
        """Return the weight's group, as it was given; a bias is a vector."""
        return self._group if name == "weight" else "vector"

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        weight: Array = self["weight"]
        if "bias" in self:
            return mx.addmm(self["bias"], x, weight.T)
        return x @ weight.T

    def forward(self, x: Array, rng: Key | None = None) -> tuple[Array, Backward]:
        """Map (..., I) to (..., O). Only an adapter drops with ``rng``."""
        return with_backward(self, lambda x: self.run(x, rng), x)

    def run(self, x: Array, rng: Key | None = None) -> Array:
        """Map (..., I) to (..., O), for inference and training."""
        return self(x)

    def to_quantized(
        self, group_size: int | None = None, bits: int | None = None, mode: str = "affine"
    ) -> QuantizedLinear:
        """Return the layer with its weight in few bits, as ``mlx.nn.quantize(model)`` asks for."""
        return QuantizedLinear(self, group_size, bits, mode)


class QuantizedLinear(Module):
    """A Linear whose weight is kept in few bits, for adapters to stand on (Dettmers et al. 2023).

    NumPy has nothing like it. It does not learn: its numbers are no longer numbers.

    Raises:
        ValueError: MLX cannot quantise a weight of this shape.
    """

    def __init__(self, linear: Linear, group_size: int | None, bits: int | None, mode: str) -> None:
        super().__init__()
        self._group_size, self._bits, self._mode = group_size, bits, mode
        packed = mx.quantize(linear["weight"], group_size, bits, mode)
        self.weight, self.scales, *biases = packed
        self.biases = biases[0] if biases else None
        self.bias = linear.get("bias")
        self.freeze()

    def group_of(self, name: str) -> Group:
        """What is packed belongs to a matrix; a bias is a vector."""
        return "vector" if name == "bias" else "matrix"

    def unfreeze(self, *, recurse: bool = True, keys: Keys = None, strict: bool = False) -> Self:
        """Stay frozen."""
        return self

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        y = mx.quantized_matmul(
            x,
            self["weight"],
            self["scales"],
            self.get("biases"),
            group_size=self._group_size,
            bits=self._bits,
            mode=self._mode,
        )
        if "bias" in self:
            y = y + self["bias"]
        return y.astype(x.dtype)  # the scales may have more bits than x

    def run(self, x: Array, rng: Key | None = None) -> Array:
        """Map (..., I) to (..., O), for inference and training."""
        return self(x)

    def dequantized(self) -> Array:
        """Return the weight (O, I) that this stands for."""
        return mx.dequantize(
            self["weight"],
            self["scales"],
            self.get("biases"),
            group_size=self._group_size,
            bits=self._bits,
            mode=self._mode,
        )


class Embedding(Module):
    """A table of vectors, one row for each id; its transpose serves as a tied output head.

    ``is_head`` says that it will, which changes nothing here: NumPy's twin stores it otherwise.
    """

    def __init__(self, n_embeddings: int, dims: int, *, init: Init, is_head: bool = False) -> None:
        super().__init__()
        self.weight = mx.array(init((n_embeddings, dims), 1))  # (V, D)

    def group_of(self, name: str) -> Group:
        """Return "table"."""
        return "table"

    def __call__(self, ids: Array) -> Array:
        """Look up ids of any shape: (...) -> (..., D). Ids must lie in [0, V)."""
        return self.weight[ids]

    def forward(self, ids: Array) -> tuple[Array, Backward]:
        """Look up ids; ids have no gradient, so the closure's first result is an empty array."""
        return with_backward(self, self, ids)

    def packed(self, group_size: int, bits: int) -> QuantizedEmbedding:
        """Return the table in few bits, for inference."""
        return QuantizedEmbedding(self, group_size, bits)

    def as_linear(self) -> Callable[[Array], Array]:
        """Return the head that shares this table: (..., D) -> (..., V).

        NumPy's twin returns a layer, which has the backward pass that MLX derives. Training in
        fewer bits leaves tables in float32, so here they are brought to those of x.
        """
        weight: Array = self.weight
        return lambda x: x @ weight.astype(x.dtype).T


class QuantizedEmbedding(QuantizedLinear):
    """A table of vectors in few bits; as a tied head, the product with what is packed."""

    def __init__(self, table: Embedding, group_size: int, bits: int) -> None:
        super().__init__(Linear.of(table.weight, None, "table"), group_size, bits, "affine")

    def group_of(self, name: str) -> Group:
        """Return "table"."""
        return "table"

    def __call__(self, ids: Array) -> Array:
        """Look up ids of any shape: (...) -> (..., D). Ids must lie in [0, V)."""
        words, scales, biases = (self[part][ids] for part in ("weight", "scales", "biases"))
        return mx.dequantize(words, scales, biases, self._group_size, self._bits)

    def as_linear(self) -> Callable[[Array], Array]:
        """Return the head that shares this table: (..., D) -> (..., V)."""
        return super().__call__


class Dropout(Module):
    """Zero each number with probability ``rate`` and scale the rest by 1 / (1 - rate).

    Srivastava et al. 2014, in the inverted form that leaves inference alone. Without ``rng`` it is
    the identity; with it, the same key gives the same mask.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def __call__(self, x: Array) -> Array:
        """Return x: inference drops nothing."""
        return x

    def forward(self, x: Array, rng: Key | None = None) -> tuple[Array, Backward]:
        """Drop from x of any shape."""
        return with_backward(self, lambda x: self.drop(x, rng), x)

    def drop(self, x: Array, rng: Key | None) -> Array:
        """Return x with some of its numbers dropped, or x itself without ``rng``.

        NumPy's twin has its backward pass in ``forward``; here MLX differentiates this.
        """
        mask = self.mask(x.shape, x.dtype, rng)
        return x if mask is None else x * mask

    def drops(self, rng: Key | None) -> bool:
        """Whether anything is dropped at all."""
        return rng is not None and self._rate > 0

    def mask(self, shape: tuple[int, ...], dtype: mx.Dtype, rng: Key | None) -> Array | None:
        """Return an array of 0 and 1 / (1 - rate), or None where nothing is dropped."""
        if rng is None or not self.drops(rng):
            return None
        keep = mx.random.bernoulli(1 - self._rate, shape, rng)
        return keep.astype(dtype) * (1 / (1 - self._rate))
