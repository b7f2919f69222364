"""The chat template that is stored with a tokenizer, where transformers looks for it.

transformers reads ``chat_template`` in ``tokenizer_config.json``, or a file ``chat_template.jinja``
beside it, which goes first; its version 5 writes that file. We read both and write the first, which
every version knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.checksums import read_digests, verify_checksums
from llm_explainer.checkpoint.json_objects import read_object
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer.chat_template import ChatTemplate

TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
_MAX_BYTES = 1 << 20


def template_settings(template: ChatTemplate) -> dict[str, Any]:
    """Return what ``tokenizer_config.json`` says of a template."""
    return {**template.tokens, "chat_template": template.source}


def read_chat_template(directory: Path) -> ChatTemplate | None:
    """Return the template of a model directory; None where it has none.

    Of several named templates, the one called default is taken.

    Raises:
        CheckpointError: files that are damaged, or hold anything else in a template's place.
        OSError: a file cannot be read.
    """
    present = [name for name in (TOKENIZER_CONFIG, TEMPLATE_FILE) if (directory / name).exists()]
    listed = read_digests(directory)
    verify_checksums(directory, [name for name in present if name in listed])
    settings = read_object(directory / TOKENIZER_CONFIG) if TOKENIZER_CONFIG in present else {}
    source: str | None
    if TEMPLATE_FILE in present:
        source = _read_text(directory / TEMPLATE_FILE)
    else:
        source = _source(settings.get("chat_template"), directory / TOKENIZER_CONFIG)
    if source is None:
        return None
    tokens = {name: _name(value) for name, value in settings.items() if name.endswith("_token")}
    return ChatTemplate(source, {name: token for name, token in tokens.items() if token})


def _source(value: Any, file: Path) -> str | None:
    if isinstance(value, list):  # of named templates
        pairs = [
            (item.get("name"), item.get("template")) for item in value if isinstance(item, dict)
        ]
        value = dict(pairs).get("default")
    if value is not None and not isinstance(value, str):
        raise CheckpointError(f"{file}: chat_template is {type(value).__name__}; it takes a text")
    return value


def _name(value: Any) -> str | None:
    """Return the name of a special token, given as it is or as an object with more about it."""
    name = value.get("content") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def _read_text(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CheckpointError(f"{file} is not UTF-8; it is damaged or no chat template") from None
    if len(data) > _MAX_BYTES:
        raise CheckpointError(f"{file} is larger than {_MAX_BYTES} bytes; it is no chat template")
    return text
