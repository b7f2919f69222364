"""The page as a file: scripts, styles and content in one, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_explainer.errors import ConfigError
from llm_explainer.explorer.bundle import bundle, styles
from llm_explainer.explorer.gathering import gather
from llm_explainer.explorer.history import put_history
from llm_explainer.explorer.pair import put_pair
from llm_explainer.files import check_place, write_atomically
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tracing import Target, moments, threads_for, trace

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Inside the model</title>
<style>{style}</style>
</head>
<body>
<div id="app"><p class="loading">Unpacking the model's numbers ...</p></div>
<noscript><p>This page computes what it shows: it needs JavaScript.</p></noscript>
<script type="text/plain" id="content">{content}</script>
<script type="module">{script}</script>
</body>
</html>
"""


_MARK = '<meta name="generator" content="llm-explainer">'


@dataclass(frozen=True, repr=False)
class Page:
    """A page about one model and one text; a notebook shows it in a cell."""

    html: str
    title: str

    def __repr__(self) -> str:
        """Say what it is about and how big."""
        return f"<page: {self.title}, {len(self.html) / 1e6:.1f} MB>"

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, for a notebook."""
        return (
            f'<iframe title="{html.escape(self.title)}" srcdoc="{html.escape(self.html)}" '
            'style="width: 100%; height: 720px; border: 0"></iframe>'
        )

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all, and return where it is. Another page is replaced.

        Raises:
            ConfigError: something there is no page of ours, or there is no such folder; no space,
                no permission.
        """
        path = Path(path)
        check_page(path)
        try:
            write_atomically(path.resolve(), self.html.encode())  # a link stays one
        except OSError as error:  # which names a file that was to be renamed
            raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
        return path


def explore(
    model: Any,
    tokenizer: Tokenizer,
    text: str,
    *,
    target: Target | None = None,
    name: str = "a model",
    run: str | Path | None = None,
    beside: tuple[Any, Tokenizer] | None = None,
    beside_name: str = "the other model",
) -> Page:
    """Return a page that shows all that a model does with a text, forward and backward.

    Args:
        model: of either backend.
        tokenizer: the model's.
        text: one token or more; at most as many as the context holds.
        target: what gradients are of, as for ``trace``.
        name: what the page calls the model.
        run: the folder of its run, whose milestones and checkpoints become a slider.
        beside: another model with its tokenizer, which reads the text as the same tokens, to stand
            side by side with this one.
        beside_name: what the page calls that one.

    Raises:
        CheckpointError: no run, or one with a damaged checkpoint.
        GenerationError: a text that cannot be traced; models that do not go side by side.
        TokenizerError: text that the tokenizer cannot encode.
    """
    with threads_for(model.config):
        found = trace(model, tokenizer, text, target=target)
        content = gather(found, tokenizer, text, name)
        if run is not None:
            put_history(content, moments(Path(run), text))
        if beside is not None:
            put_pair(content, found, trace(*beside, text), (name, beside_name))
    return Page(page_of(content.packed()), f"{name}, {found.n_tokens} tokens")


def is_page(path: Path) -> bool:
    """Return whether a file is a page that this module wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK.encode() in file.read(400)


def check_page(path: Path) -> None:
    """Refuse a place where no page can be written.

    Raises:
        ConfigError: as ``files.check_place``.
    """
    check_place(path, is_page, "page of this program")


def page_of(packed: str) -> str:
    """Return the file for packed content. Its policy forbids every request and foreign script."""
    style, script = styles(), bundle()
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; "
        f"style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(mark=_MARK, policy=policy, style=style, content=packed, script=script)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
