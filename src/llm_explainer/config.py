"""What a model is: one frozen, validated dataclass, and the presets of its two families."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from llm_explainer.errors import ConfigError
from llm_explainer.rope_scaling import RopeScaling
from llm_explainer.settings import REQUIRED, require_float, require_int, setting

Family = Literal["gpt2", "llama", "mistral", "qwen2", "qwen3", "smollm3"]
"""The ``model_type`` of Hugging Face that a model is an instance of."""

Norm = Literal["layernorm", "rmsnorm"]
NormPosition = Literal["pre", "post"]
Position = Literal["learned", "sinusoidal", "rope"]
Activation = Literal["relu", "gelu", "silu", "swiglu"]
InitScheme = Literal["normal", "truncated_normal", "zeros"]
"""How fresh weights are drawn; see ``init.py``."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture of a decoder-only transformer.

    The defaults are GPT-2's choices (Radford et al. 2019). ``n_kv_heads``, ``head_dim`` and
    ``d_ff`` may be left at 0: they become ``n_heads``, ``d_model / n_heads`` and the family's usual
    width. Lists and objects are taken as JSON has them.

    Raises:
        ConfigError: a value, or a combination of values, that cannot work.
    """

    vocab_size: int = setting(REQUIRED, "tokens that the model knows")
    context_length: int = setting(REQUIRED, "most tokens that attention sees at once")
    d_model: int = setting(REQUIRED, "width of the residual stream")
    n_layers: int = setting(REQUIRED, "blocks")
    n_heads: int = setting(REQUIRED, "attention (query) heads")
    n_kv_heads: int = setting(0, "key-value heads; fewer than n_heads is grouped-query attention")
    head_dim: int = setting(0, "width of a head; 0: d_model / n_heads")
    d_ff: int = setting(0, "hidden width of the feed-forward network")
    norm: Norm = setting("layernorm", "layernorm or rmsnorm")
    norm_position: NormPosition = setting("pre", "norm before each layer, or after (post)")
    position: Position = setting("learned", "learned, sinusoidal or rope")
    activation: Activation = setting("gelu", "relu, gelu, silu or swiglu")
    bias: bool = setting(True, "biases in linear layers and LayerNorm")
    qkv_bias: bool = setting(False, "biases of queries, keys and values, also without --bias")
    qk_norm: bool = setting(False, "RMS norm of every query and key, before they are rotated")
    tie_embeddings: bool = setting(True, "the output head is the token embedding, transposed")
    dropout: float = setting(0.0, "share of activations dropped while training")
    rope_theta: float = setting(10_000.0, "base of RoPE's wavelengths")
    rope_scaling: RopeScaling | None = setting(None, "a rule for more tokens than were trained on")
    rope_layers: tuple[int, ...] | None = setting(None, "the layers that rotate; None: all")
    sliding_window: int = setting(0, "keys that a query sees, its own included; 0: all before it")
    window_layers: tuple[int, ...] | None = setting(None, "the layers with that window; None: all")
    norm_eps: float = setting(1e-5, "added to the variance in a norm, against division by zero")

    def __post_init__(self) -> None:
        """Fill in the two derived sizes, then check everything."""
        for field in ("vocab_size", "context_length", "d_model", "n_layers", "n_heads"):
            require_int(field, getattr(self, field), at_least=1)
        for field in ("n_kv_heads", "d_ff", "head_dim", "sliding_window"):
            require_int(field, getattr(self, field), at_least=0)
        if self.n_kv_heads == 0:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        if self.d_ff == 0:
            object.__setattr__(self, "d_ff", default_d_ff(self.d_model, self.activation))
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise ConfigError(f"{field} is {value!r}; choose one of {', '.join(choices)}")
        for field in ("bias", "tie_embeddings", "qkv_bias", "qk_norm"):
            if not isinstance(getattr(self, field), bool):
                raise ConfigError(f"{field} is {getattr(self, field)!r}; it takes true or false")
        self._check_heads()
        self._check_layers()
        require_float("dropout", self.dropout, low=0.0, below=1.0)
        require_float("rope_theta", self.rope_theta, low=1.0)
        require_float("norm_eps", self.norm_eps, low=1e-12, below=1.0)
        if self.rope_scaling is not None and self.rope_scaling.rule == "yarn":
            require_float("rope_theta, which yarn takes the logarithm of,", self.rope_theta, low=2)

    def _check_heads(self) -> None:
        if self.head_dim == 0 and self.d_model % self.n_heads:
            fits = [n for n in range(1, min(self.d_model, 1024) + 1) if self.d_model % n == 0]
            nearest = min(fits, key=lambda n: abs(n - self.n_heads))
            raise ConfigError(
                f"d_model {self.d_model} is not divisible by n_heads {self.n_heads}; "
                f"n_heads {nearest} would do, or a head_dim of its own"
            )
        if self.head_dim == 0:
            object.__setattr__(self, "head_dim", self.d_model // self.n_heads)
        if self.n_heads % self.n_kv_heads:
            raise ConfigError(
                f"n_heads {self.n_heads} is not divisible by n_kv_heads {self.n_kv_heads}; "
                f"every key-value head serves the same number of query heads"
            )
        if self.position == "rope" and self.head_dim % 2:
            raise ConfigError(
                f"position 'rope' rotates pairs of channels, so the width of a head must be even; "
                f"head_dim is {self.head_dim}, d_model {self.d_model} / n_heads {self.n_heads}"
            )
        if self.position == "sinusoidal" and self.d_model % 2:
            raise ConfigError(
                f"position 'sinusoidal' fills pairs of channels, so d_model must be even; "
                f"received {self.d_model}"
            )

    def _check_layers(self) -> None:
        """Read the settings that some layers have, and refuse those that change nothing."""
        if not isinstance(self.rope_scaling, RopeScaling | None):
            object.__setattr__(self, "rope_scaling", RopeScaling.of(self.rope_scaling))
        for field in ("rope_layers", "window_layers"):
            layers = getattr(self, field)
            if layers is not None:
                object.__setattr__(self, field, self._read_layers(field, layers))
        for field in ("rope_layers", "rope_scaling"):
            if getattr(self, field) is not None and self.position != "rope":
                raise ConfigError(f"{field} is about position 'rope', and it is {self.position!r}")
        if self.window_layers is not None and self.sliding_window == 0:
            raise ConfigError("window_layers needs a sliding_window, which is 0")

    def _read_layers(self, field: str, layers: Any) -> tuple[int, ...] | None:
        """Return numbers of layers sorted, or None where it is all of them."""
        last = self.n_layers - 1
        if not isinstance(layers, (list, tuple)) or not all(
            type(layer) is int and 0 <= layer <= last for layer in layers
        ):
            raise ConfigError(f"{field} is {layers!r}; it takes numbers of layers, 0 to {last}")
        chosen = tuple(sorted(set(layers)))
        return None if len(chosen) == self.n_layers else chosen

    @property
    def attention_width(self) -> int:
        """Width of all heads side by side, n_heads · head_dim."""
        return self.n_heads * self.head_dim

    @property
    def has_qkv_bias(self) -> bool:
        """Whether queries, keys and values have biases."""
        return self.bias or self.qkv_bias

    def rotates(self, layer: int) -> bool:
        """Return whether a layer rotates queries and keys."""
        chosen = self.rope_layers is None or layer in self.rope_layers
        return self.position == "rope" and chosen

    def window_of(self, layer: int) -> int:
        """Return how many keys a query of a layer sees at most, its own included; 0 for all."""
        chosen = self.window_layers is None or layer in self.window_layers
        return self.sliding_window if chosen else 0

    @property
    def family(self) -> Family | None:
        """The Hugging Face family that can express this model exactly, or None."""
        kind = (self.norm, self.position, self.activation, self.norm_position)
        if kind == ("layernorm", "learned", "gelu", "pre"):
            fits = self.n_kv_heads == self.n_heads and self.attention_width == self.d_model
            is_plain = not (self.qk_norm or self.sliding_window)
            return "gpt2" if fits and is_plain and (self.bias or not self.qkv_bias) else None
        return self._llama_kin() if kind == ("rmsnorm", "rope", "swiglu", "pre") else None

    def _llama_kin(self) -> Family | None:
        """Return which of Llama's relatives has these switches, and no others."""
        has_own_qkv_bias = self.qkv_bias and not self.bias
        if self.rope_layers is not None:
            return None if self.qk_norm or has_own_qkv_bias else "smollm3"
        if self.qk_norm:
            return None if self.has_qkv_bias else "qwen3"
        if has_own_qkv_bias:
            return "qwen2"
        if self.sliding_window == 0:
            return "llama"
        if self.window_layers is None and not self.bias:
            return "mistral"
        return "smollm3"

    @classmethod
    def preset(
        cls, size: str, *, family: str = "gpt2", vocab_size: int = 0, **changes: Any
    ) -> ModelConfig:
        """Return a named size of a family; ``changes`` override single fields.

        ``vocab_size`` 0 takes the preset's own.

        Raises:
            ConfigError: unknown size, family or field.
        """
        if size not in SIZES:
            raise ConfigError(f"unknown model size {size!r}; choose one of {', '.join(SIZES)}")
        if family not in _FAMILIES:
            raise ConfigError(f"unknown family {family!r}; choose one of {', '.join(_FAMILIES)}")
        known = {field.name for field in dataclasses.fields(cls)}
        for name in changes:
            if name not in known:
                raise ConfigError(f"unknown model setting {name!r}; known: {', '.join(known)}")
        fields: dict[str, Any] = {**_FAMILIES[family], **SIZES[size]}
        if vocab_size:
            fields["vocab_size"] = vocab_size
        return cls(**{**fields, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return dataclasses.asdict(self)

    def described(self) -> str:
        """Return what it is in a line: ``llama, 0.79 M parameters, 4 layers of width 128, ...``."""
        return (
            f"{self.family or 'own kind'}, {self.count_parameters() / 1e6:,.2f} M parameters, "
            f"{self.n_layers} layers of width {self.d_model}, {self.n_heads} heads, context "
            f"{self.context_length}, vocabulary {self.vocab_size}"
        )

    def count_parameters(self) -> int:
        """Return the number of numbers in the parameters, computed from the shapes."""
        linear_bias = norm_bias = int(self.bias)
        if self.norm == "rmsnorm":
            norm_bias = 0

        def linear(inputs: int, outputs: int) -> int:
            return inputs * outputs + linear_bias * outputs

        norm = self.d_model * (1 + norm_bias)
        qkv_width = self.attention_width + 2 * self.n_kv_heads * self.head_dim
        attention = self.d_model * qkv_width + int(self.has_qkv_bias) * qkv_width
        attention += linear(self.attention_width, self.d_model)
        attention += 2 * self.head_dim * int(self.qk_norm)
        n_in = 2 if self.activation == "swiglu" else 1
        feed_forward = n_in * linear(self.d_model, self.d_ff) + linear(self.d_ff, self.d_model)
        blocks = self.n_layers * (attention + feed_forward + 2 * norm)
        embeddings = self.vocab_size * self.d_model * (1 if self.tie_embeddings else 2)
        positions = self.context_length * self.d_model if self.position == "learned" else 0
        final_norm = norm if self.norm_position == "pre" else 0
        return embeddings + positions + blocks + final_norm

    def training_flops_per_token(self) -> int:
        """Return the floating-point operations of one training step, per token.

        6 for every weight of a matrix product, plus attention's 12 · layers · width · context
        (Chowdhery et al. 2022, PaLM, appendix B). Position tables and, where it is not tied, the
        token embedding are looked up, not multiplied.
        """
        looked_up = self.context_length * self.d_model if self.position == "learned" else 0
        if not self.tie_embeddings:
            looked_up += self.vocab_size * self.d_model
        weights = self.count_parameters() - looked_up
        return 6 * weights + 12 * self.n_layers * self.attention_width * self.context_length


def default_d_ff(d_model: int, activation: str) -> int:
    """Return 4 · d_model, or for SwiGLU 8/3 · d_model rounded up to a multiple of 32.

    SwiGLU has three matrices instead of two, so 2/3 of the width costs the same
    (Shazeer 2020, section 3).
    """
    if activation != "swiglu":
        return 4 * d_model
    return 32 * math.ceil(8 * d_model / 3 / 32)


NO_OPTIONS = ("rope_scaling", "rope_layers", "window_layers")
"""Fields that no command has an option for: what is not one number or word comes with a model."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "norm": get_args(Norm),
    "norm_position": get_args(NormPosition),
    "position": get_args(Position),
    "activation": get_args(Activation),
}

_FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "llama": {"norm": "rmsnorm", "position": "rope", "activation": "swiglu", "bias": False},
}


def _size(d_model: int, n_heads: int, n_layers: int, context: int, vocab: int) -> dict[str, int]:
    return {
        "d_model": d_model,
        "n_heads": n_heads,
        "n_layers": n_layers,
        "context_length": context,
        "vocab_size": vocab,
    }


SIZES: dict[str, dict[str, int]] = {
    "tiny": _size(64, 2, 2, 64, 512),
    "small": _size(128, 4, 4, 128, 1024),
    "medium": _size(256, 8, 6, 256, 4096),
    "large": _size(512, 8, 8, 256, 8192),
    "50m": _size(512, 8, 8, 512, 32_000),
    "gpt2-small": _size(768, 12, 12, 1024, 50_257),
    "gpt2-medium": _size(1024, 16, 24, 1024, 50_257),
}
"""Every preset's width, heads, layers, context and vocabulary, smallest first."""
