"""The Tutorial's figures: each has a script, which draws again what is committed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_explainer.tutorial.chapters import find_chapters, read_chapter
from llm_explainer.tutorial.figures import draw, find_scripts, same_picture

FOLDER = Path(__file__).parents[1] / "Tutorial"
FIGURES = FOLDER / "figures"
CHAPTERS = find_chapters(FOLDER)
NAMESPACE = re.compile(r'xmlns[:\w]*="[^"]+"|<!DOCTYPE[^>]+>')

pytestmark = pytest.mark.tutorial


@pytest.mark.parametrize("number", [pytest.param(n, id=f"{n:02}") for n in CHAPTERS])
def test_figures_are_drawn_again_and_are_the_same(number, tmp_path):
    for script in find_scripts(FIGURES, number):
        draw(script, tmp_path)
    drawn = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.svg")}
    committed = {path.name for path in FIGURES.glob(f"{number:02}-*.svg")}
    assert set(drawn) == committed
    for name, svg in drawn.items():
        assert same_picture(svg, (FIGURES / name).read_text("utf-8")), name
        assert "http" not in NAMESPACE.sub("", svg), name
    links = read_chapter(CHAPTERS[number]).links
    shown = {Path(link.target).name for link in links if link.is_picture}
    assert committed <= shown, "figures that no page shows"


def test_every_script_and_figure_belongs_to_a_chapter():
    numbers = {path.name[:2] for path in FIGURES.glob("*.svg")}
    numbers |= {path.name.split("_")[1] for path in FIGURES.glob("*.py")}
    assert numbers <= {f"{number:02}" for number in CHAPTERS}
