"""The reference backend: NumPy, with every backward pass written by hand."""

from llm_explainer.batch import StepResult
from llm_explainer.machine import available_cores
from llm_explainer.numpy_backend.activations import GELU, ReLU, SiLU
from llm_explainer.numpy_backend.attention import CausalSelfAttention
from llm_explainer.numpy_backend.block import Block
from llm_explainer.numpy_backend.cache import KVCache, TextRows
from llm_explainer.numpy_backend.engine.allocator import keep_freed_memory
from llm_explainer.numpy_backend.engine.device import (
    device_kind,
    device_name,
    leave_thread,
    peak_memory,
    reset_peak_memory,
)
from llm_explainer.numpy_backend.engine.distributed import connect
from llm_explainer.numpy_backend.engine.memory import claim_memory, training_bytes
from llm_explainer.numpy_backend.engine.precision import check_dtype, filler
from llm_explainer.numpy_backend.engine.train_step import TrainStep
from llm_explainer.numpy_backend.feed_forward import FeedForward
from llm_explainer.numpy_backend.layers import Dropout, Embedding, Linear
from llm_explainer.numpy_backend.lora import LoRALinear, TiedHead
from llm_explainer.numpy_backend.loss import cross_entropy
from llm_explainer.numpy_backend.model import GPT
from llm_explainer.numpy_backend.module import Module, as_array
from llm_explainer.numpy_backend.muon import Muon
from llm_explainer.numpy_backend.norms import LayerNorm, RMSNorm
from llm_explainer.numpy_backend.optimizer import SGD, AdamW
from llm_explainer.numpy_backend.positions import RotaryEmbedding, SinusoidalPositions

__all__ = [
    "GELU",
    "GPT",
    "NAME",
    "SGD",
    "AdamW",
    "Block",
    "CausalSelfAttention",
    "Dropout",
    "Embedding",
    "FeedForward",
    "KVCache",
    "LayerNorm",
    "Linear",
    "LoRALinear",
    "Module",
    "Muon",
    "RMSNorm",
    "ReLU",
    "RotaryEmbedding",
    "SiLU",
    "SinusoidalPositions",
    "StepResult",
    "TextRows",
    "TiedHead",
    "TrainStep",
    "as_array",
    "available_cores",
    "check_dtype",
    "claim_memory",
    "connect",
    "cross_entropy",
    "device_kind",
    "device_name",
    "filler",
    "leave_thread",
    "peak_memory",
    "reset_peak_memory",
    "training_bytes",
]

NAME = "numpy"
"""As ``load_backend`` takes it."""

keep_freed_memory()
