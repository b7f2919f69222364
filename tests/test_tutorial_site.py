"""The Tutorial as a site and as sheets: every page, link, formula and figure is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_explainer.errors import ConfigError
from llm_explainer.tutorial.chapters import find_chapters, read_chapter
from llm_explainer.tutorial.sheets import find_tasks, write_sheets
from llm_explainer.tutorial.site import page_name, write_site

FOLDER = Path(__file__).parents[1] / "Tutorial"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "new"
    write_site([read_chapter(path) for path in find_chapters(FOLDER).values()], out)
    return out


def test_links_figures_and_formulas_are_there(site):
    pages = {path.name: path.read_text("utf-8") for path in site.glob("*.html")}
    assert len(pages) == len(find_chapters(FOLDER)) + 2  # the guide, and the plan for teachers
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


def test_sheets_hold_every_exercise_once_and_every_solution(tmp_path):
    chapters = [read_chapter(path) for path in find_chapters(FOLDER).values()]
    paths = write_sheets(chapters, tmp_path / "new")
    assert write_sheets(chapters, tmp_path / "new") == paths
    open_, solved = (path.read_text("utf-8") for path in paths)
    n_tasks = 0
    for chapter in chapters:
        tasks = find_tasks(chapter.text)
        assert [task.number for task in tasks] == list(range(1, chapter.solutions + 1))
        assert {task.kind for task in tasks} >= {"Predict", "Modify", "Derive", "Build"}
        assert f"<h2>{chapter.title}</h2>" in open_
        n_tasks += len(tasks)
    assert solved.count("<h4>Solution</h4>") == solved.count("<article>") == n_tasks
    graded = open_.count("Graded at the command line")
    assert open_.count('<article class="open">') == n_tasks + graded
    assert open_.count("learn 4 --exercise 5</code>") == 1
    assert "href" not in re.sub("<link [^>]+>", "", open_ + solved)
    for page, has_solutions in ((open_, False), (solved, True)):
        assert (
            "sorted(kind.vocab.values(), key=len)" in re.sub("<[^>]+>", "", page)
        ) == has_solutions
        assert not re.search(r"<merror|<!--|\$\$|details", page)


def test_sheets_leave_other_folders_alone(site, tmp_path):
    chapters = [read_chapter(path) for path in find_chapters(FOLDER).values()][:1]
    (tmp_path / "thesis.tex").write_text("\\begin{document}")
    for folder in (tmp_path, site):
        with pytest.raises(ConfigError, match="--sheets takes a new folder"):
            write_sheets(chapters, folder)
    assert not (tmp_path / "site.css").exists()
