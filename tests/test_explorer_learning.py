"""The page's views of the way back, a step, a run's history and two models, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from small_models import random_model
from small_pages import FAMILIES, HOSTILE, tokenizer
from test_explorer_browser import Opened, number, unit

from llm_explainer.explorer.content import Content
from llm_explainer.explorer.history import put_history
from llm_explainer.explorer.pair import put_pair
from llm_explainer.tracing import Moment, Trace, lens, take_step, trace

STEPS = (0, 20, 300)


def other_models(found: Trace) -> list[Trace]:
    """Return the same text in models of the same shape with other weights."""
    models = [random_model(found.config, "float32", seed=seed) for seed in (1, 2)]
    return [trace(model, tokenizer(), found.ids.tolist()) for model in models]


def add_learning(content: Content, found: Trace) -> None:
    """Put a history of three states, the last of them this model, and another model beside it."""
    content.facts["samples"] = None
    traces = [*other_models(found), found]
    attention = [
        np.stack([each.activations[f"blocks.{i}.attention.weights"] for i in range(2)])
        for each in traces
    ]
    moments = [
        Moment(step, each.losses, maps, lens(each), f"{HOSTILE} {step}", f"<em>{step}</em>")
        for step, each, maps in zip(STEPS, traces, attention, strict=True)
    ]
    put_history(content, moments)
    put_pair(content, found, traces[0], ("<u>one</u>", "other"))


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request: Any, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    file = tmp_path_factory.mktemp("page") / "page.html"
    return Opened(browser, file, FAMILIES[request.param], add_learning)


def rows_of(opened: Opened, caption: str) -> list[list[str]]:
    """Return the cells of the table with a caption."""
    table = opened.page.locator(
        "#panel table", has=opened.page.locator(f"caption:text('{caption}')")
    )
    found: list[list[str]] = table.first.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(c => c.textContent))"
    )
    return found


def percent(text: str) -> float:
    return 0.0 if text.startswith("<") else float(text.removesuffix(" %")) / 100


def test_every_gradient_is_put_together_again_from_its_rule(opened: Opened) -> None:
    """Down all results, and seven numbers of each: read from the page, and held to the trace."""
    opened.select(view="backward", position=7)
    found = opened.page.evaluate(
        """() => {
          const press = (element, key) =>
            element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          const all = [];
          const { nodes } = window.explorer.app.data.facts.backward;
          const grid = document.querySelector(".way-back .pick-grid");
          nodes.forEach(({ name }, row) => {
            if (row) press(grid, "ArrowDown");
            for (let n = 0; n < 7; n++) {
              const sum = document.querySelector(".way-back .sum");
              all.push([name, document.querySelector(".way-back section .panel h4").textContent,
                Number(sum.dataset.total), sum.textContent]);
              press(document.querySelector(".vector"), "ArrowLeft");
            }
          });
          return all;
        }"""
    )
    assert len(found) == 7 * len(opened.trace.gradients) >= 200
    for name, heading, total, again in found:
        index = tuple(map(int, re.search(r"\[([\d, ]+)\]", heading)[1].split(",")))  # type: ignore[index]
        shown = heading.rpartition("has the gradient ")[2]
        expected = float(opened.trace.gradients[name][index])
        largest = float(np.abs(opened.trace.gradients[name][..., 7, :]).max())
        assert abs(number(shown) - expected) <= 0.7 * unit(shown) + 1e-3 * largest, (name, heading)
        assert abs(total - expected) <= 3e-3 * largest, (name, heading, total, expected)
        again = again.rpartition(": ")[2]
        assert abs(number(again) - total) <= 0.7 * unit(again)


def test_the_way_back_shows_where_a_gradient_comes_from(opened: Opened) -> None:
    opened.select(view="tokens")
    opened.select(view="backward", position=5)
    opened.page.locator(".row-names li").first.wait_for()
    names = [node["name"] for node in opened.content.facts["backward"]["nodes"]]
    grid = opened.page.locator(".way-back .pick-grid").first
    grid.focus()
    for _ in range(names.index("blocks.0")):
        opened.page.keyboard.press("ArrowDown")
    assert "block 0: residual stream after it" in opened.texts(".panel h3")
    assert opened.page.evaluate("document.activeElement.className") == "pick-grid"
    rows = rows_of(opened, "By way of")
    assert [row[1] for row in rows] == ["same", "norm"]
    direct = float(np.linalg.norm(opened.trace.gradients["blocks.1.residual"][5]))
    assert abs(number(rows[0][2]) - direct) <= unit(rows[0][2])
    assert "plain/layers.py" in opened.page.locator(".way-back .panel").first.inner_text()
    opened.page.locator(".way-back button.link").first.click()
    assert "block 1: residual" in opened.texts(".panel h3")


def test_one_step(opened: Opened) -> None:
    opened.select(view="step", position=4)
    step = take_step(opened.trace)
    assert f"from {step.loss_before:.5f} to {step.loss_after:.5f}" in opened.texts("#panel p")[1]
    rows = rows_of(opened, "what may come next")
    likeliest = int(step.before[4].argmax())
    change = step.after[4, likeliest] - step.before[4, likeliest]
    assert rows[0][0] == opened.content.facts["vocabulary"][likeliest]
    assert abs(percent(rows[0][1]) - step.before[4, likeliest]) <= 6e-4
    assert abs(number(rows[0][3]) - change) <= 1.1e-5
    largest = rows_of(opened, "those with the largest gradients")
    assert len(largest) == len(step.largest)
    first = step.largest[0]
    assert largest[0][0].startswith(f"{first.name}[{', '.join(map(str, first.index))}]")
    assert abs(number(largest[0][2]) - first.gradient) <= unit(largest[0][2])


def test_the_slider_goes_through_what_was_learned(opened: Opened) -> None:
    opened.select(view="learned", position=6, moment=-1)
    slider = opened.page.locator("#moment")
    assert slider.get_attribute("aria-valuetext") == "step 300"
    slider.focus()
    opened.page.keyboard.press("ArrowLeft")
    opened.page.keyboard.press("ArrowLeft")
    assert opened.page.evaluate("document.activeElement.id") == "moment"
    assert "moment=0" in opened.page.url
    assert slider.get_attribute("aria-valuetext") == "step 0"
    first = other_models(opened.trace)[0]
    assert opened.page.locator("blockquote.sample").inner_text().endswith(" 0")
    assert opened.page.locator("blockquote.continued").inner_text() == "… <em>0</em>"
    assert opened.page.locator("blockquote *").count() == 0
    assert f"{first.losses.mean():.4f} nats" in opened.page.locator("figcaption").inner_text()
    read = lens(first)
    for row, cells in enumerate(rows_of(opened, "the lens at the selected token")):
        assert cells[1] == opened.content.facts["vocabulary"][read.tokens[row, 6, 0]]
        assert abs(percent(cells[2]) - read.probabilities[row, 6, 0]) <= 1.1e-3
        assert int(cells[4]) == read.ranks[row, 6] + 1
    then = opened.page.locator(".then button").nth(3)
    said, _, _ = then.get_attribute("title").partition(" likely")
    assert abs(percent(said) - np.exp(-first.losses[2])) <= 6e-4
    then.click()
    assert "position=3" in opened.page.url


def test_two_models_side_by_side(opened: Opened) -> None:
    opened.select(view="beside", position=8, layer=0, head=0)
    other = other_models(opened.trace)[0]
    rows = rows_of(opened, "the two models")
    assert [row[0] for row in rows] == ["<u>one</u>", "other"]
    assert [row[1] for row in rows] == [f"{each.loss:.4f}" for each in (opened.trace, other)]
    for card, found in zip(opened.page.locator(".card").all(), (opened.trace, other), strict=True):
        likely = np.argsort(-found.probabilities[8], kind="stable")[:5]
        shown = card.locator(".bars .piece").all_text_contents()
        assert shown == [opened.content.facts["vocabulary"][i] for i in likely]
    change = opened.page.locator(".view-beside p[aria-live]").inner_text()
    assert f"loss {opened.trace.losses[7]:.4f} and {other.losses[7]:.4f}" in change
    opened.page.locator(".view-beside select").nth(1).select_option("3")
    assert opened.page.locator("canvas[aria-label='other, layer 0, head 3']").count() == 1


def test_nothing_is_too_wide_or_goes_wrong(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 400, "height": 800})
    for view in ("backward", "step", "learned", "beside"):
        opened.select(view=view)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not opened.page.evaluate(wide), view
    assert opened.errors == []
    assert len({url.partition("#")[0] for url in opened.requests}) == 1
