"""A model for Ollama: the GGUF file, and a Modelfile that says how to talk to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.export.folders import gguf_name, prove_gguf
from llm_explainer.checkpoint.export.modelfile import COMPLETES, go_template, modelfile
from llm_explainer.checkpoint.export.proof import Proof, new_folder, write_card
from llm_explainer.checkpoint.export.turns import Turns, turns_of
from llm_explainer.checkpoint.gguf.writing import Kind
from llm_explainer.tokenizer import Tokenizer

MODELFILE = "Modelfile"


def export_ollama(
    model: Any,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    kind: Kind,
    sampling: Mapping[str, int | float],
    texts: Sequence[str],
    source: str,
    overwrite: bool = False,
) -> Proof:
    """Write a folder with a GGUF file, a Modelfile and a card, and prove it.

    A model without a chat template continues texts there.

    Args:
        kind: of the numbers in the GGUF file.
        sampling: how tokens are chosen, by Ollama's names.
        model, tokenizer, folder, texts, source, overwrite: as of ``export_hf``.

    Raises:
        CheckpointError: a chat template that does more than put words around turns and drop the
            spaces around them; what ``export_gguf`` refuses.
    """
    chat = tokenizer.chat_template
    turns = None if chat is None else _after_prefix(turns_of(chat), tokenizer)
    name = gguf_name(folder, kind)
    text = modelfile(
        name,
        COMPLETES if turns is None else go_template(turns),
        _stops(tokenizer, turns),
        {"num_ctx": model.config.context_length, **sampling},
    )
    with new_folder(folder, [name, MODELFILE], overwrite=overwrite) as new:
        proof = prove_gguf(new / name, model, tokenizer, kind, texts)
        more = (("Modelfile", f"{_said(turns)}; {len(_stops(tokenizer, turns))} stop texts"),)
        proof = replace(proof, path=folder / name, more=more)
        (new / MODELFILE).write_text(text, encoding="utf-8")
        write_card(new, model, proof, source)
    return proof


def _said(turns: Turns | None) -> str:
    """Return what the Modelfile's template does, and what it does otherwise than the model's."""
    if turns is None:
        return "continues texts"
    words = "its chat template in Go's words"
    if turns.trimmed:
        words += f", which keep spaces around a turn (it drops {' and '.join(turns.trimmed)}'s)"
    return words if turns.takes_system else f"{words}; a system message is refused"


def _stops(tokenizer: Tokenizer, turns: Turns | None) -> list[str]:
    """Return what ends an answer: the names of the end tokens, and what a turn ends with."""
    names = {token: name for name, token in tokenizer.special_tokens.items()}
    stops = [names[end] for end in tokenizer.roles.ends if end in names]
    ending = "" if turns is None else turns.after["assistant"].strip()
    return list(dict.fromkeys(stop for stop in (*stops, ending) if stop))


def _after_prefix(turns: Turns, tokenizer: Tokenizer) -> Turns:
    """Return the turns without the token that Ollama itself puts before a text."""
    names = {token: name for name, token in tokenizer.special_tokens.items()}
    begin = "".join(names.get(token, "") for token in tokenizer.prefix)
    before = dict(turns.before)
    if turns.takes_system:
        before["system"] = before["system"].removeprefix(begin)
    return replace(turns, unasked=turns.unasked.removeprefix(begin), before=before)
