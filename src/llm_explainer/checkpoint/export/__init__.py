"""Writing a model for other software, with the proof that it is still the same model.

What is written is read again, and compared with what it was made of: logits, ids of texts, and
where the numbers were rounded to a few bits, every one of them. ``proof`` compares, ``folders``
writes a Hugging Face directory or a GGUF file, ``ollama`` what Ollama wants beside that
(``turns`` and ``modelfile`` say a chat template in its words), ``mlx_lm`` a directory for mlx-lm,
whole or in few bits, and ``adapters`` the files of PEFT and mlx-lm.
"""

from llm_explainer.checkpoint.export.adapters import export_adapter
from llm_explainer.checkpoint.export.folders import export_gguf, export_hf
from llm_explainer.checkpoint.export.mlx_lm import export_mlx
from llm_explainer.checkpoint.export.ollama import export_ollama

__all__ = ["export_adapter", "export_gguf", "export_hf", "export_mlx", "export_ollama"]
