"""What keeps the Tutorial true sees what isn't: each planted mistake is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_explainer.errors import ConfigError
from llm_explainer.tutorial import comparing, story_model
from llm_explainer.tutorial.chapters import anchor_of, find_chapters, read_chapter
from llm_explainer.tutorial.comparing import find_difference, same_value
from llm_explainer.tutorial.excerpts import ExcerptError, check_excerpt, find_source
from llm_explainer.tutorial.figures import same_picture
from llm_explainer.tutorial.pages import check_page
from llm_explainer.tutorial.running import check_chapter

PAGE = """# 3. Places

**Question.** Where is it? 12 minutes. Try `uv run run_demo.py gradcheck --lora`.

```python
import numpy as np
x = np.array([1 / 3, -2.0])
print(x.round(3))
```

```text
[ 0.333 -2.   ]
```

The sum is −1.67<!-- = x.sum() -->, the first 33.3 %<!-- = 100 * x[0]
-->, and the word is `a b`<!-- = "a b" -->.

<!-- source: llm_explainer.plain.activations.relu -->
```python
def relu(x: Array) -> Function:
    return np.maximum(x, 0), lambda dy: dy * (x > 0)
```

<details><summary>Solution</summary>

```python
print(x.size, "numbers")
```
```text
2 numbers
```

</details>

## By hand: `x`

[Up](#3-places), [here](#by-hand-x), [there](03%20-%20Places.md#by-hand-x).

```console
$ uv run run_demo.py gradcheck  # all of them
```
"""


def page(folder: Path, text: str = PAGE):
    path = folder / "03 - Places.md"
    path.write_text(text, encoding="utf-8")
    return read_chapter(path)


def test_a_page_is_read_to_its_last_part(tmp_path):
    chapter = page(tmp_path)
    assert find_chapters(tmp_path) == {3: chapter.path}
    assert (chapter.number, chapter.title, chapter.minutes) == (3, "3. Places", 12)
    assert chapter.question.startswith("Where is it?")
    assert [block.runs for block in chapter.blocks] == [True, False, True, False]
    assert [block.in_solution for block in chapter.blocks] == [False, False, True, False]
    assert not check_chapter(chapter)
    assert not check_page(chapter)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "what"),
    [
        ("[ 0.333 -2.", "[ 0.334 -2.", 12, "0.334"),
        ("2 numbers\n", "3 numbers\n", 30, "'3 numbers'"),
        ("2 numbers\n", "2 numbers\n2 more\n", 31, "ends elsewhere"),
        ("−1.67", "−1.66", 15, "x.sum() is"),
        ("33.3 %", "33.4 %", 15, "the text says 33.4"),
        ("`a b`", "`a c`", 16, "'a b'"),
        ("maximum(x, 0), lambda", "maximum(x, 1), lambda", 20, "where the source has"),
        ("activations.relu", "activations.rely", 20, "does not exist"),
        ("x.size", "x.length", 27, "AttributeError"),
        ("x.size,", "x.size", 27, "SyntaxError"),
        ("```text\n2 numbers\n```\n", "", 27, "no text block shows it"),
    ],
)
def test_what_the_code_does_not_say_is_named_with_its_line(right, wrong, line, what, tmp_path):
    assert right in PAGE
    mistakes = check_chapter(page(tmp_path, PAGE.replace(right, wrong, 1)))
    assert [(mistake.page, mistake.line) for mistake in mistakes] == [("03 - Places.md", line)]
    assert what in mistakes[0].what


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ("(#by-hand-x)", "(#by-foot)", "no such heading"),
        ("Places.md#by-hand-x", "Things.md", "does not exist"),
        ("[Up](", "![A picture that shows it all](", "no picture"),
        ("[Up](#3-places)", "![A picture](https://x.y/z.svg)", "from elsewhere"),
        ("$ uv run run_demo.py gradcheck", "uv run run_demo.py gradchick", "there isn't"),
        ("$ uv run", "$ pip install", "not with uv run"),
    ],
)
def test_what_leads_nowhere_is_named(right, wrong, what, tmp_path):
    assert right in PAGE
    chapter = page(tmp_path, PAGE.replace(right, wrong, 1))
    assert [what in mistake.what for mistake in check_page(chapter)] == [True]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("```python\nx = 1\n", "a block that doesn't end"),
        ("much<!-- = 1 -->\n", "no number before"),
        (" ```python\nx = 1\n ```\n", "a fence that isn't alone"),
        ("> ```python\n> x = 1\n> ```\n", "a fence that isn't alone"),
        ("```python title\nx = 1\n```\n", "a fence that isn't alone"),
        ("1.0<!--= 1 -->\n", "a mark <!--= that marks nothing"),
        ("<!-- source: llm_explainer.tree -->\n\n```python\nx = 1\n```\n", "marks nothing"),
        ("<!-- varies -->\n```text\n1\n```\n", "marks nothing"),
    ],
)
def test_what_would_go_unchecked_is_refused(text, what, tmp_path):
    with pytest.raises(ConfigError, match=rf"03 - Places\.md:3: .*{what}"):
        page(tmp_path, f"# 3\n\n{text}")


def test_numbers_are_compared_to_their_digits(monkeypatch):
    assert find_difference("[0.5 1.]", "[0.5  1. ]") is None
    assert find_difference("-0. 1", "0. 1") is None
    assert find_difference("0.123", "0.124") is not None
    assert find_difference("took 5.2 ms", "took 7.9 ms", varies=True) is None
    assert find_difference("took 5.2 ms", "took 7.9 s", varies=True) is not None
    assert same_value("1,280", 1280)
    assert not same_value("1,281", 1280)
    assert same_value("1.2e-5", 1.234e-5)
    assert not same_value("1.3e-5", 1.234e-5)
    monkeypatch.setattr(comparing, "SAME_DIGITS", False)  # another processor rounds otherwise
    assert find_difference("0.123", "0.124") is None
    assert find_difference("0.123", "0.125") is not None
    assert find_difference("12", "13") is not None


def test_excerpts_may_be_of_a_part_and_of_what_is_inside():
    name = "llm_explainer.plain.layers.linear"
    body = 'y = x @ p["weight"].T  # (..., I) @ (I, O) -> (..., O)\nif "bias" in p:\n'
    part = f"{body.splitlines()[0]} ... {body.splitlines()[1]}"
    check_excerpt(body, name, part)
    with pytest.raises(ExcerptError, match="a part that"):
        check_excerpt(body, name, "y = x ... if x:")
    with pytest.raises(ExcerptError, match="not in llm_explainer"):
        check_excerpt(body, "numpy.linalg")
    check_excerpt(
        "BETA1, BETA2 = 0.9, 0.95", "llm_explainer.plain.training", "BETA1, BETA2 = 0.9, 0.95"
    )
    path, first, last = find_source("llm_explainer.mlx_backend.norms.RMSNorm")
    assert path.name == "norms.py"
    assert first < last


def test_pictures_are_the_same_where_nobody_sees_a_difference():
    one = '<path id="p1f" clip-path="url(#p1f)" d="M 1.001 2" style="fill: #aabbcc"/>'
    assert same_picture(one, one.replace("p1f", "p2e").replace("1.001", "1.002"))
    assert same_picture(one, one.replace("aabbcc", "aabbcd"))
    assert not same_picture(one, one.replace("1.001", "1.1"))
    assert not same_picture(one, one.replace("aabbcc", "aa00cc"))
    assert not same_picture(one, one.replace("path", "line"))


def test_anchors_are_those_of_github():
    assert anchor_of("What `plain/` does: A, B & C") == "what-plain-does-a-b--c"


def test_the_trained_model_loads_without_a_word():
    """Warnings are errors here."""
    model, tokenizer = story_model()
    assert model.config.vocab_size == tokenizer.vocab_size
