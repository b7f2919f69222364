"""The explorer's page in a real browser: what it shows is what the model computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_pages import FAMILIES, HOSTILE, content_of

from llm_explainer.explorer.html import page_of

VIEWS = ["tokens", "pass", "attention", "lens", "why", "backward", "step", "learned", "beside"]


class Opened:
    """A page of a small model in the browser, with what it is about and what it asked for."""

    def __init__(
        self, browser: Any, file: Path, changes: dict[str, Any], add: Any = lambda *_: None
    ) -> None:
        self.model, self.trace, self.content = content_of(**changes)
        add(self.content, self.trace)
        file.write_text(page_of(self.content.packed()), encoding="utf-8")
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("#panel h2")

    def select(self, **state: Any) -> None:
        self.page.evaluate("state => window.explorer.app.state.set(state)", state)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_text_contents()
        return found


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request: Any, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    file = tmp_path_factory.mktemp("page") / "page.html"
    return Opened(browser, file, FAMILIES[request.param])


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def unit(text: str) -> float:
    """Return what one step of a shown number's last digit is worth."""
    digits, _, power = text.replace("−", "-").partition("e")
    decimals = len(digits.partition(".")[2])
    return float(10.0 ** (int(power or 0) - decimals))


def test_numbers_are_those_of_the_model_to_the_digits_shown(opened: Opened) -> None:
    """All that is clicked open here: results of ``plain``, logits of the tuned backend."""
    logits = opened.model(opened.trace.ids[None])[0]
    results = {**opened.trace.activations, "logits": logits}
    rng, shown = np.random.default_rng(0), []
    names = list(opened.trace.activations)
    for name in rng.permutation(names):
        place = int(rng.integers(1, opened.trace.n_tokens))
        layer = int(name.split(".")[1]) if name.startswith("blocks") else 0
        opened.select(
            view="pass", layer=layer, node=name, position=place, head=int(rng.integers(4))
        )
        cells = opened.page.eval_on_selector_all(
            ".grid .number", "all => all.map(each => [each.dataset.key, each.textContent])"
        )
        assert cells, name
        shown += [cells[i] for i in rng.permutation(len(cells))[:9]]
    assert len(shown) >= 200
    for key, text in shown:
        name, _, index = key.partition("@")
        expected = results[name][tuple(map(int, index.split(",")))]
        assert abs(number(text) - expected) <= 0.7 * unit(text) + 1e-6, (key, text, expected)


def test_every_formula_gives_its_number(opened: Opened) -> None:
    """Terms are summed up again here, from the texts in the table."""
    found = opened.page.evaluate(
        """() => {
          const { app, explain } = window.explorer;
          const all = [];
          for (const name of Object.keys(app.data.facts.makings)) {
            const { shape } = app.data.array(`activations/${name}`);
            for (let n = 0; n < 4; n++) {
              const index = shape.map((size, axis) => (7 * n + 3 * axis + 5) % size);
              const { value, terms, result, lines } = explain(app, name, index);
              const sum = terms.reduce((total, { a, b }) => total + (b === null ? a : a * b), 0);
              const sizes = Math.hypot(...terms.map(({ product }) => product));
              all.push([name, value, terms.length ? sum : (result ?? value), sizes, lines.length]);
            }
          }
          return all;
        }"""
    )
    assert len(found) == 4 * len(opened.trace.activations)
    for name, value, again, sizes, n_lines in found:
        assert sizes or n_lines, name
        assert abs(again - value) <= 2e-3 * abs(value) + 2e-3 * sizes + 1e-6, (name, value, again)


def test_a_clicked_number_shows_formula_sum_and_source(opened: Opened) -> None:
    opened.select(view="pass", layer=1, node="blocks.1.feed_forward", position=6)
    opened.page.locator(".grid .number").nth(3).click()
    panel = opened.page.locator(".formula")
    assert "blocks.1.feed_forward[6, 3]" in panel.inner_text()
    value = opened.trace.activations["blocks.1.feed_forward"][6, 3]
    total = float(panel.locator(".sum output").get_attribute("data-sum"))
    assert abs(total - value) < 0.01 * max(1, abs(value))
    assert 'y = x @ p["weight"].T' in panel.inner_text()
    assert "plain/layers.py, line" in panel.inner_text()
    n_terms = opened.model.config.d_ff + opened.model.config.bias
    assert panel.locator("tbody tr").count() == n_terms
    opened.page.get_by_label("close the formula").click()
    assert not panel.is_visible()


def test_attributions_add_up_on_the_page_and_the_lens_ends_with_the_output(opened: Opened) -> None:
    for place in (0, 9, opened.trace.n_tokens - 1):
        opened.select(view="why", position=place)
        token = int(opened.page.locator("#next").input_value())
        logit = float(opened.trace.logits[place, token])
        total, model = (number(text) for text in opened.texts(".sum output")[:2])
        assert abs(total - logit) <= 1.5e-4
        assert abs(model - logit) <= 1e-4
        opened.select(view="lens")
        last = opened.texts(".bars.wide .number")[-1]
        p = 100 * float(opened.trace.probabilities[place, token])
        assert last == ("<0.1 %" if p < 0.05 else f"{p:.{2 if p < 10 else 1}f} %")


def test_gradients_computed_on_the_page_are_those_of_the_trace(opened: Opened) -> None:
    for name, expected in opened.trace.gradients.items():
        values = opened.page.evaluate(
            "name => Array.from(window.explorer.app.data.array(name).values)", f"gradients/{name}"
        )
        bound = 1e-3 * float(np.abs(expected).max())
        np.testing.assert_allclose(values, expected.ravel(), atol=bound, err_msg=name)


def test_hostile_text_is_text(opened: Opened) -> None:
    opened.select(view="tokens")
    assert "<i>small</i>" in opened.page.locator("h1").inner_text()
    shown = "".join(opened.texts(".token"))
    assert "<b>&amp;</script><!--\\x07" in shown
    assert "\\u202e" in shown or "\\xe2" in shown  # whole, or byte by byte
    assert opened.page.locator("#app b, #app i, #app img").count() == 0
    assert len(HOSTILE.encode()) >= opened.page.locator(".token").count() > 20


def test_views_follow_the_keyboard_and_the_address(opened: Opened) -> None:
    opened.select(view="tokens", position=3)
    opened.page.locator(".tokens").focus()
    opened.page.keyboard.press("ArrowRight")
    assert "position=4" in opened.page.url
    opened.page.locator("#tab-tokens").focus()
    all_tabs = "all => all.map(tab => tab.id.replace('tab-', ''))"
    views = opened.page.eval_on_selector_all("[role=tab]", all_tabs)
    assert views[: len(VIEWS)] == VIEWS
    for view in [*views[1:], views[0]]:
        opened.page.keyboard.press("ArrowRight")
        assert opened.page.locator(f".view-{view} > *").count() > 0
        assert (
            opened.page.locator("[role=tab][aria-selected=true]").get_attribute("id")
            == f"tab-{view}"
        )
    opened.page.goto(
        opened.page.url.partition("#")[0] + "#view=attention&head=2&position=99&layer=7"
    )
    opened.page.wait_for_function("window.explorer.app.state.get('view') === 'attention'")
    assert opened.page.locator(".large h3").first.inner_text() == "layer 1, head 2"


def test_columns_of_the_lens_are_chosen_by_keyboard(opened: Opened) -> None:
    opened.select(view="lens", position=3)
    head = opened.page.locator(".lens th button[tabindex='0']")
    head.focus()
    for key, place in (("ArrowRight", 4), ("ArrowLeft", 3), ("End", opened.trace.n_tokens - 1)):
        opened.page.keyboard.press(key)
        assert opened.page.evaluate("window.explorer.app.state.get('position')") == place
        focused = "document.activeElement.parentElement.cellIndex - 1"
        assert opened.page.evaluate(focused) == place
        assert head.get_attribute("aria-pressed") == "true"
        assert head.count() == 1
    opened.page.keyboard.press("ArrowRight")
    opened.page.locator(".lens th button").nth(2).click()
    assert "position=2" in opened.page.url
    assert opened.page.locator(".lens thead .near").count() == 7  # what paper has room for


RED = """(wanted) => {
  const red = () => {
    const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    copy.drawImage(document.querySelector(".heat"), 0, 0);
    return copy.getImageData(0, 0, 1, 1).data[0];
  };
  return new Promise((done) => {
    const look = (left) =>
      red() === wanted || !left ? done(red()) : requestAnimationFrame(() => look(left - 1));
    look(60);
  });
}"""
"""What the first cell of a map has of red: as wanted, within a second."""


def test_a_dark_page_is_printed_light(opened: Opened) -> None:
    page, light, dark = opened.page, 0xB5, 0xFF  # of --heat-up
    opened.select(view="attention")
    assert page.evaluate(RED, light) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(RED, dark) == dark
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(RED, light) == light
    background = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert not page.locator("[role=tablist]").is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme ?? null") is None
    page.emulate_media(color_scheme="dark", media="screen")
    assert page.evaluate(RED, dark) == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate(RED, light) == light


def test_the_tour_goes_through_the_views_and_ends(opened: Opened) -> None:
    opened.page.get_by_role("button", name="tour").click()
    for _ in range(20):
        if opened.page.locator(".tour").count() == 0:
            break
        opened.page.locator(".tour button").get_by_text("next").or_(
            opened.page.locator(".tour button").get_by_text("done")
        ).click()
    assert opened.page.locator(".tour").count() == 0


def test_nothing_is_wider_than_a_phone_and_nothing_is_asked_for(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 400, "height": 800})
    for view in VIEWS:
        opened.select(view=view)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not opened.page.evaluate(wide), view
    opened.page.get_by_role("button", name="light / dark").click()
    assert opened.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert {url.partition("#")[0] for url in opened.requests} == {opened.page.url.partition("#")[0]}
    assert opened.errors == []
