"""The compiled core, where the package's build could make it: the same functions, but faster.

Everything here has a twin in Python and NumPy, and tests hold the two together. Set the environment
variable ``LLM_EXPLAINER_NO_CORE`` to anything to do without it.
"""

from __future__ import annotations

import os

_AVAILABLE = not os.environ.get("LLM_EXPLAINER_NO_CORE")
if _AVAILABLE:
    try:
        from llm_explainer.tokenizer.core import counting, decoding, encoding, splitting, training
    except ImportError:  # it was not built: all of it or nothing
        _AVAILABLE = False


def core_in_use() -> bool:
    """Return whether the tokenizer runs compiled code."""
    return _AVAILABLE


__all__ = ["core_in_use", "counting", "decoding", "encoding", "splitting", "training"]
