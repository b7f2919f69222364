"""Opening a ``tokenizer.json`` without knowing which of the kinds it holds."""

from __future__ import annotations

import os
from pathlib import Path

from llm_explainer.errors import TokenizerError
from llm_explainer.json_files import NotJsonObjectError, read_json_object
from llm_explainer.tokenizer.bpe import BPETokenizer
from llm_explainer.tokenizer.byte_fallback import ByteFallbackTokenizer
from llm_explainer.tokenizer.characters import CharTokenizer
from llm_explainer.tokenizer.files.byte_fallback_json import is_byte_fallback
from llm_explainer.tokenizer.files.gpt2_files import find_gpt2_files, special_names
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject, read_json
from llm_explainer.tokenizer.roles import read_roles
from llm_explainer.tokenizer.words import WordTokenizer

AnyTokenizer = BPETokenizer | ByteFallbackTokenizer | CharTokenizer | WordTokenizer

_NAME = "tokenizer.json"
_MAX_BYTES = 1 << 26


def load_tokenizer(
    path: str | os.PathLike[str], *, model_folder: str | os.PathLike[str] | None = None
) -> AnyTokenizer:
    """Read a ``tokenizer.json`` of any kind, or GPT-2's two files.

    Which of its tokens begins a text and which end one is in the files beside it:
    ``tokenizer_config.json``, and of a model ``config.json`` and ``generation_config.json``. Beside
    ``mine-tokenizer.json`` it is ``mine-tokenizer_config.json``.

    Args:
        path: of the file, or of its folder.
        model_folder: where the model's two files are, if elsewhere.

    Raises:
        TokenizerError: a file that is missing, damaged, or of none of these kinds.
    """
    folder = Path(path)
    if folder.is_dir():
        path = folder / "tokenizer.json"
        if not path.exists() and (pair := find_gpt2_files(folder)):
            return load_gpt2_files(*pair, model_folder=model_folder)
    try:
        tokenizer = tokenizer_from_json(read_json(path))
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None
    if Path(path).name.endswith(_NAME):
        _give_roles(tokenizer, Path(path), model_folder)
    return tokenizer


def tokenizer_from_json(content: JsonObject) -> AnyTokenizer:
    """Return the tokenizer that the content of a ``tokenizer.json`` describes.

    Raises:
        TokenizerError: damage, or none of the kinds that are known.
    """
    return _kind(content).from_json(content)


def load_gpt2_files(
    vocab_json: Path, merges_txt: Path, *, model_folder: str | os.PathLike[str] | None = None
) -> BPETokenizer:
    """Read GPT-2's two files, with what the files beside them say; see ``load_tokenizer``.

    Raises:
        TokenizerError: files that are missing or damaged.
    """
    names = special_names(vocab_json)
    tokenizer = BPETokenizer.from_gpt2(vocab_json, merges_txt, special_tokens=names)
    _give_roles(tokenizer, vocab_json.with_name(_NAME), model_folder)
    return tokenizer


def _give_roles(
    tokenizer: AnyTokenizer, path: Path, model_folder: str | os.PathLike[str] | None
) -> None:
    start = path.name.removesuffix(_NAME)
    folder = path.parent if model_folder is None else Path(model_folder)
    settings = _read(path.parent / f"{start}special_tokens_map.json")
    settings |= _read(path.parent / f"{start}tokenizer_config.json")
    config = _read_config(folder / f"{start}config.json")
    generation = _read(folder / f"{start}generation_config.json") if config else {}
    try:
        tokenizer.roles = read_roles(tokenizer, settings, config, generation)
    except TokenizerError as error:
        raise TokenizerError(f"{path.parent}: {error}") from None


def _read(path: Path) -> JsonObject:
    """Return the object in a file; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        return read_json_object(path, _MAX_BYTES)
    except NotJsonObjectError as error:
        raise TokenizerError(f"{path} {error}") from None
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_config(path: Path) -> JsonObject:
    """Return the settings of a model; empty where the file is no model's.

    Whoever loads the model says what is wrong with it.
    """
    try:
        config = _read(path)
    except TokenizerError:
        return {}
    return config if "model_type" in config else {}


def _kind(content: JsonObject) -> type[AnyTokenizer]:
    """Tell the kinds apart by what alone differs; what they read they check themselves."""
    model, split = content.get("model"), content.get("pre_tokenizer")
    if not isinstance(model, dict) or model.get("type") != "WordLevel":
        return ByteFallbackTokenizer if is_byte_fallback(content) else BPETokenizer
    characters = {"Regex": CharTokenizer.pattern}
    if isinstance(split, dict) and split.get("pattern") == characters:
        return CharTokenizer
    return WordTokenizer
