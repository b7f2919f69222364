"""The fast twin of the NumPy backend, on MLX: the same model, its gradients by autograd.

Files, classes, arguments, parameter names and initial weights are those of ``numpy_backend``;
what only NumPy needs to be fast (a flat buffer, an allocator, bands of attention) is missing here.
"""

from llm_explainer.mlx_backend.activations import GELU, ReLU, SiLU
from llm_explainer.mlx_backend.attention import CausalSelfAttention
from llm_explainer.mlx_backend.block import Block
from llm_explainer.mlx_backend.cache import KVCache
from llm_explainer.mlx_backend.feed_forward import FeedForward
from llm_explainer.mlx_backend.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from llm_explainer.mlx_backend.loss import cross_entropy
from llm_explainer.mlx_backend.memory import training_bytes
from llm_explainer.mlx_backend.model import GPT
from llm_explainer.mlx_backend.module import Module
from llm_explainer.mlx_backend.optimizer import SGD, AdamW
from llm_explainer.mlx_backend.positions import RotaryEmbedding, SinusoidalPositions
from llm_explainer.mlx_backend.train_step import StepResult, TrainStep, available_cores

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
