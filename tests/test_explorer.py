"""What the explorer's page is made of: numbers as bytes, formulas, words, one file."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import SWITCHES
from small_pages import HOSTILE, content_of, from_base85, tokenizer
from small_traces import traced

import llm_explainer
from llm_explainer.errors import ConfigError
from llm_explainer.explorer import Page, explore, gathering
from llm_explainer.explorer.base85 import ALPHABET, to_base85
from llm_explainer.explorer.bundle import bundle
from llm_explainer.explorer.formulas import makings, rules, source_line
from llm_explainer.explorer.gathering import gather
from llm_explainer.explorer.html import page_of
from llm_explainer.explorer.packing import Kind, encode, pack
from llm_explainer.explorer.words import merges, visible
from llm_explainer.tracing import Target, attribute, lens, trace
from llm_explainer.tree import flatten

PAGE_FILES = Path(llm_explainer.__file__).parent / "explorer" / "page"
MOST_LINES = 300

# Numbers as bytes


def whole(data: bytes, n: int, width: int) -> Any:
    """Put the planes of n numbers of so many bytes together, the missing low bytes 0."""
    planes = np.frombuffer(data, np.uint8).reshape(width, n).T
    return np.ascontiguousarray(np.hstack([np.zeros((n, 4 - width), np.uint8), planes]))


@pytest.mark.parametrize(("kind", "bound"), [("float32", 0), ("float24", 2.0**-16)])
def test_floats_come_back_to_their_digits(kind: Kind, bound: float) -> None:
    numbers = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32) ** 5
    data, scale = encode(numbers, kind)
    back = whole(data, 35, len(data) // 35).view("<f4").reshape(7, 5)
    assert scale == 1
    assert (np.abs(back - numbers) <= bound * np.abs(numbers)).all()


def test_bytes_come_back_from_text() -> None:
    rng = np.random.default_rng(0)
    for size in (*range(9), 1000):
        for data in (rng.bytes(size), bytes(size), b"\xff" * size):
            assert from_base85(to_base85(data)) == data
            assert len(to_base85(data)) == -(-size * 5 // 4)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e9])
def test_halves_use_their_range_whatever_the_size(size: float) -> None:
    numbers = size * np.random.default_rng(0).normal(size=50)
    data, scale = encode(numbers, "float16")
    back = (
        np.frombuffer(data, np.uint8).reshape(2, 50).T.copy().view("<f2")[:, 0].astype(float)
        * scale
    )
    np.testing.assert_allclose(back, numbers, rtol=2.0**-11)


def test_steps_are_a_share_of_the_largest_in_the_row() -> None:
    rows = np.array([[1.0, -2, 0.5], [0, 0, 0], [100, 1, -3]])
    data, _ = encode(rows, "int8")
    steps, counts = np.frombuffer(data[:12], "<f4"), np.frombuffer(data[12:], np.int8)
    back = counts.reshape(3, 3) * steps[:, None]
    assert (np.abs(back - rows) <= np.abs(rows).max(1)[:, None] / 254 * 1.001).all()


def test_equal_arrays_are_stored_once_and_the_text_is_safe() -> None:
    array = np.arange(6.0).reshape(2, 3)
    packed = pack(
        {"text": HOSTILE},
        {"a": (array, "float32"), "b": (array.T, "float32"), "c": (array, "float32")},
    )
    assert not set(packed) - set(ALPHABET)
    assert not set(ALPHABET) & set("<>&\"'\\ `\n")  # what markup and frames give a meaning
    data = zlib.decompress(from_base85(packed))
    length = int.from_bytes(data[:4], "little")
    facts = json.loads(data[4 : 4 + length])
    assert facts["text"] == HOSTILE
    index = facts["arrays"]
    assert index["a"]["at"] == index["c"]["at"] != index["b"]["at"]
    assert len(data) == 4 + length + 2 * 24


# Formulas


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_every_result_has_a_formula_of_results_and_parameters_that_there_are(changes: Any) -> None:
    model, found = traced(changes)
    made, parameters = makings(model.config), flatten(found.parameters)
    assert made.keys() == found.activations.keys()
    seen: set[str] = set()
    for name, making in made.items():
        assert set(making.inputs) <= seen, name  # what goes in comes first
        assert {making.weight, making.bias} - {""} <= parameters.keys(), name
        assert making.rule in rules()
        seen.add(name)


def test_quoted_lines_stand_in_the_source() -> None:
    for rule in rules().values():
        file = Path(llm_explainer.__file__).parent / rule["file"]
        assert (
            file.read_text(encoding="utf-8").splitlines()[rule["line"] - 1].strip() == rule["code"]
        )
    with pytest.raises(LookupError, match="has no line 'y = 7'"):
        source_line("layers.linear", "y = 7")


# Words


def test_nothing_in_a_token_is_invisible_or_turns_the_line() -> None:
    shown = visible(HOSTILE.encode())
    assert shown.isprintable()
    assert shown.startswith("<b>&amp;</script><!--\\x07\\u202eabc\\u202c·")
    assert visible(b"\xf0\x9f") == "\\xf0\\x9f"


def test_merges_end_with_the_tokens_of_the_text() -> None:
    text = "the fox<|endoftext|> owl"
    ids = np.array(tokenizer().encode(text))
    words = merges(tokenizer(), text, ids)
    for word in words:
        pieces = word["steps"][-1]["pieces"]
        vocab = tokenizer().vocab
        expected = [
            visible(vocab[int(i)]) for i in ids[word["start"] : word["start"] + len(pieces)]
        ]
        assert pieces == expected
    assert words[0]["start"] == 0
    assert len(words) == 3  # "the", " fox", " owl"; the special token is none


# What is kept


def test_candidates_begin_with_what_came_and_their_sums_are_the_attribution() -> None:
    _, found, content = content_of("the fox and the owl")
    tokens = content.array("next/tokens")
    assert (tokens[:-1, 0] == found.ids[1:]).all()
    assert tokens[-1, 0] == found.logits[-1].argmax()
    for place in (1, -1):
        for k in (0, 3):
            one = attribute(found, place, int(tokens[place, k]))
            assert content.facts["parts"] == list(one.names)
            np.testing.assert_allclose(content.array("parts")[place, k], one.values, atol=1e-5)
            assert content.array("parts")[place, k].sum() == pytest.approx(one.logit, abs=1e-4)


def test_the_lens_is_that_of_tracing_and_ends_with_the_output() -> None:
    _, found, content = content_of("the fox and the owl")
    read = lens(found, after_attention=True)
    np.testing.assert_array_equal(content.array("lens/top"), read.tokens)
    np.testing.assert_allclose(content.array("lens/candidates")[..., 0], read.target_probabilities)
    np.testing.assert_array_equal(content.array("lens/ranks")[..., 0], read.ranks)
    last = np.take_along_axis(found.probabilities, content.array("next/tokens"), -1)
    np.testing.assert_allclose(content.array("lens/candidates")[-1], last)


def test_ablation_is_the_score_without_the_head() -> None:
    model, found, content = content_of("the fox and the owl", n_layers=1)
    effects = content.array("ablation")  # (L, n_heads + 1, T, K)
    tokens = content.array("next/tokens")
    width = model.config.head_dim
    model.blocks[0].attention.out_proj.weight[:, 2 * width : 3 * width] = 0  # head 2 writes nothing
    logits = model(found.ids[None])[0]
    change = np.take_along_axis(logits - found.logits, tokens, -1)
    np.testing.assert_allclose(effects[0, 2], change, atol=1e-4)


def test_a_large_model_has_the_largest_terms_and_its_last_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "MOST_PARAMETERS", 0)
    monkeypatch.setattr(gathering, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(gathering, "LAST_LAYERS", 1)
    model, found, content = content_of("the fox and the owl")
    assert content.array("ablation").shape[:3] == (1, model.config.n_heads + 1, 1)
    weight = found.parameters["blocks"][1]["attention"]["qkv_proj"]["weight"]
    x = found.activations["blocks.1.attention_norm"][-1]
    products = weight[24:48] * x  # the keys'
    inputs = content.array("largest/blocks.1.attention.k/inputs")
    terms = content.array("largest/blocks.1.attention.k/products")
    np.testing.assert_array_equal(terms, np.take_along_axis(products, inputs, -1))
    rest = np.sort(np.abs(products), axis=-1)[:, :-8]
    assert (np.abs(terms).min(-1) >= rest.max(-1)).all()
    assert "parameters/" not in "".join(content.names())


# The file


def test_the_page_is_one_file_whose_policy_knows_its_script() -> None:
    model, _, _ = content_of("the fox")
    page = explore(model, tokenizer(), HOSTILE, name="<script>alert(1)</script>")
    assert page.html.count("<script") == page.html.count("</script>") == 2
    assert "alert(1)" not in page.html  # a name is content, and content is base85
    assert "<!--" not in page.html
    assert not re.search(
        r"(?:src|href)\s*=|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", page.html
    )
    assert "default-src 'none'" in page.html
    frame = page._repr_html_()
    assert frame.count("<") == 2
    assert repr(page).startswith("<page: ")


def test_a_page_replaces_pages_alone(tmp_path: Path) -> None:
    page = Page(page_of(""), "a page")
    path = page.save(tmp_path / "page.html")
    assert page.save(str(path)) == path
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(ConfigError, match="no page of this program"):
        page.save(tmp_path / "mine.html")
    with pytest.raises(ConfigError, match="there is no folder"):
        page.save(tmp_path / "nowhere" / "page.html")


def test_a_target_of_one_token_is_the_first_candidate_of_its_place() -> None:
    model, _, _ = content_of("the fox")
    found = trace(model, tokenizer(), "the fox", target=Target.logit(0, 7))
    content = gather(found, tokenizer(), "the fox", "m")
    assert content.array("next/tokens")[0, :2].tolist() == [7, found.ids[1]]
    assert content.facts["start"] == 0


def test_scripts_are_short_modules_that_keep_to_themselves() -> None:
    for path in PAGE_FILES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MOST_LINES, path.name
        assert not re.search(r"innerHTML|eval\(|fetch\(|https?://(?!www\.w3)", text), path.name
        if path.suffix == ".js":
            assert text.startswith("// "), path.name  # what it is for
    script = bundle()
    for path in PAGE_FILES.glob("*.js"):
        assert script.count(f"// {path.name}\n") == 1, f"{path.name} is not on the page"
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
