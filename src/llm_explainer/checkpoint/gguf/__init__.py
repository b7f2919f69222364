"""GGUF, the format of llama.cpp and Ollama: one file that holds a model and its tokenizer."""

from llm_explainer.checkpoint.gguf.config import TURNED, read_config
from llm_explainer.checkpoint.gguf.header import Header, is_gguf, read_header
from llm_explainer.checkpoint.gguf.template import read_template
from llm_explainer.checkpoint.gguf.tensors import GGUFTensors
from llm_explainer.checkpoint.gguf.writing import write_gguf

__all__ = [
    "TURNED",
    "GGUFTensors",
    "Header",
    "is_gguf",
    "read_config",
    "read_header",
    "read_template",
    "write_gguf",
]
