"""Opening a ``tokenizer.json`` without knowing which of the three kinds it holds."""

from __future__ import annotations

import os
from pathlib import Path

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.bpe import BPETokenizer
from llm_explainer.tokenizer.characters import CharTokenizer
from llm_explainer.tokenizer.files.gpt2_files import find_gpt2_files, special_names
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject, read_json
from llm_explainer.tokenizer.words import WordTokenizer


def load_tokenizer(
    path: str | os.PathLike[str],
) -> BPETokenizer | CharTokenizer | WordTokenizer:
    """Read a ``tokenizer.json`` of any of the three kinds, or GPT-2's two files.

    Args:
        path: of the file, or of its folder.

    Raises:
        TokenizerError: a file that is missing, damaged, or of none of these kinds.
    """
    folder = Path(path)
    if folder.is_dir():
        path = folder / "tokenizer.json"
        if not path.exists() and (pair := find_gpt2_files(folder)):
            return BPETokenizer.from_gpt2(*pair, special_tokens=special_names(pair[0]))
    try:
        content = read_json(path)
        return _kind(content).from_json(content)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None


def _kind(content: JsonObject) -> type[BPETokenizer | CharTokenizer | WordTokenizer]:
    """Tell the kinds apart by what alone differs; what they read they check themselves."""
    model, split = content.get("model"), content.get("pre_tokenizer")
    if not isinstance(model, dict) or model.get("type") != "WordLevel":
        return BPETokenizer
    characters = {"Regex": CharTokenizer.pattern}
    if isinstance(split, dict) and split.get("pattern") == characters:
        return CharTokenizer
    return WordTokenizer
