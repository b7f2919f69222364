"""The reference backend: NumPy, with every backward pass written by hand."""

from llm_explainer.numpy_backend.activations import GELU, ReLU, SiLU
from llm_explainer.numpy_backend.allocator import keep_freed_memory
from llm_explainer.numpy_backend.attention import CausalSelfAttention
from llm_explainer.numpy_backend.block import Block
from llm_explainer.numpy_backend.cache import KVCache
from llm_explainer.numpy_backend.feed_forward import FeedForward
from llm_explainer.numpy_backend.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from llm_explainer.numpy_backend.loss import cross_entropy
from llm_explainer.numpy_backend.memory import training_bytes
from llm_explainer.numpy_backend.model import GPT
from llm_explainer.numpy_backend.module import Module
from llm_explainer.numpy_backend.optimizer import SGD, AdamW
from llm_explainer.numpy_backend.positions import RotaryEmbedding, SinusoidalPositions
from llm_explainer.numpy_backend.train_step import StepResult, TrainStep, available_cores

__all__ = [
    "GELU",
    "GPT",
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
    "Module",
    "RMSNorm",
    "ReLU",
    "RotaryEmbedding",
    "SiLU",
    "SinusoidalPositions",
    "StepResult",
    "TrainStep",
    "available_cores",
    "cross_entropy",
    "training_bytes",
]

keep_freed_memory()
