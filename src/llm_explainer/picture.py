"""Pictures whose texts are taken as they are, whatever folders and corpora are called."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.spelling import spelled_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib's own font lacks the letters of East Asia; one of these is on most desktops.
_EAST_ASIAN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Arial Unicode MS",
    "Microsoft YaHei",
)


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure into a PNG, all at once.

    A ``$`` is a dollar and no mathematics. A letter that no font here has is drawn as a box, and
    that is not worth a warning.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    known = set(fontManager.get_font_names())
    families = ["DejaVu Sans", *(name for name in _EAST_ASIAN if name in known)]
    for text in figure.findobj(Text):
        assert isinstance(text, Text)  # what was looked for
        text.set_parse_math(False)
        text.set_fontfamily(families)
        text.set_text(spelled_out(text.get_text()))
    temporary = path.with_name(f".{path.name}.tmp")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(temporary, format="png")
    temporary.replace(path)
