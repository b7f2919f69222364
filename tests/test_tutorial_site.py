"""The Tutorial as a site: every page, link, formula and figure is there, and nothing from afar."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_explainer.errors import ConfigError
from llm_explainer.tutorial.chapters import find_chapters, read_chapter
from llm_explainer.tutorial.site import page_name, write_site

FOLDER = Path(__file__).parents[1] / "Tutorial"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "new"
    write_site([read_chapter(path) for path in find_chapters(FOLDER).values()], out)
    return out


def test_links_figures_and_formulas_are_there(site):
    pages = {path.name: path.read_text("utf-8") for path in site.glob("*.html")}
    assert len(pages) == len(find_chapters(FOLDER)) + 1
    anchors = {name: set(re.findall(r' id="([^"]+)"', text)) for name, text in pages.items()}
    for name, text in pages.items():
        for target in re.findall(r'href="([^"]+)"', text):
            page, _, anchor = target.partition("#")
            if not target.startswith("https://"):
                assert not page or (site / page).exists(), f"{name}: {target}"
                assert not anchor or anchor in anchors[page or name], f"{name}: {target}"
        for source in re.findall(r'src="([^"]+)"', text):
            assert (site / source).exists(), f"{name}: {source}"
        assert not re.search(r"<merror|<!--|\$\$", text), name
    attention = pages[page_name("04 - Attention.md")]
    assert attention.count("<math") > 20
    assert attention.count("<details>") == attention.count("</details>") >= 4
    assert '<pre class="python"><span' in attention
    assert "learn 4 --exercise 5</code>" in attention
    assert "from <code>llm_explainer.plain.attention" in attention


def test_a_site_is_renewed_and_other_folders_are_left_alone(site, tmp_path):
    chapters = [read_chapter(path) for path in find_chapters(FOLDER).values()][:1]
    assert write_site(chapters, site)[0] == site / "index.html"
    (tmp_path / "thesis.tex").write_text("\\begin{document}")
    with pytest.raises(ConfigError, match="holds something else"):
        write_site(chapters, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "index.html").write_bytes(b"\xe9 la carte")  # of somebody else's, and no UTF-8
    with pytest.raises(ConfigError, match="holds something else"):
        write_site(chapters, tmp_path)
    assert (tmp_path / "index.html").read_bytes() == b"\xe9 la carte"
