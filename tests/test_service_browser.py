"""The service's page in a real browser: it chats, continues a text, and shows tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from served_model import Address, make_model, serving

HOSTILE = "<b>é 🦊</b> <script>alert(1)</script>"


@pytest.fixture(scope="module")
def service() -> Iterator[Address]:
    silent, tokenizer = make_model(seed=1)
    tokenizer.chat_template = None
    with serving({"tiny": make_model(), "silent": (silent, tokenizer)}) as found:
        yield found


@pytest.fixture
def page(browser: Any, service: Address) -> Iterator[Any]:
    """The page, which may ask nobody but the service, nor have an error."""
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.set_default_timeout(10_000)
    page.goto(service.url)
    page.locator("#model option").nth(1).wait_for(state="attached")
    page.get_by_label("Most tokens").fill("30")
    page.get_by_label("Seed").fill("3")
    yield page
    page.close()
    wrong = [each for each in wrong if "status of 400" not in each]  # the page says it itself
    assert {url for url in asked if not url.startswith((service.url, "data:"))} == set()
    assert wrong == []


def done(page: Any) -> None:
    page.get_by_text(re.compile("tokens in")).wait_for()


def test_a_chat_says_what_the_service_answers(page: Any, service: Address) -> None:
    said = []
    for turn in ("Hello", HOSTILE):
        page.get_by_label("Your turn").fill(turn)
        page.keyboard.press("Enter")
        done(page)
        said.append({"role": "user", "content": turn})
        how = {"max_tokens": 30, "seed": 3, "temperature": 0.8}
        answer = service.post("/v1/chat/completions", model="tiny", messages=said, **how)
        said.append(answer["choices"][0]["message"] | {"role": "assistant"})
        shown = page.locator(".turn span").all_text_contents()
        assert shown == [each["content"] for each in said]
        page.evaluate("say('')")
    assert page.locator("main b").count() == page.locator(".turn").count()  # names alone
    page.get_by_role("button", name="New conversation").click()
    assert page.locator(".turn").count() == 0


def test_a_text_goes_on_in_the_colours_of_its_surprise(page: Any, service: Address) -> None:
    page.get_by_role("tab", name="Continue a text").click()
    page.get_by_label("Text to continue").fill(HOSTILE)
    page.get_by_role("button", name="Continue").click()
    done(page)
    how = {"max_tokens": 30, "seed": 3, "temperature": 0.8, "echo": True, "logprobs": 5}
    (choice,) = service.post("/v1/completions", model="tiny", prompt=HOSTILE, **how)["choices"]
    assert page.locator("#text").text_content() == choice["text"]
    colours = page.eval_on_selector_all(
        "#text span", "all => all.map(each => each.style.backgroundColor)"
    )
    assert colours[0] == ""  # nothing comes before the first token
    assert all(colour.startswith("rgb") for colour in colours[1:])
    assert len(set(colours)) > 5
    assert page.locator("#text span").nth(1).get_attribute("title").startswith("this one: ")


def test_tokens_are_shown_as_they_are_typed(page: Any, service: Address) -> None:
    assert page.get_by_label("Temperature").is_visible()
    page.get_by_role("tab", name="Tokens").click()
    assert not page.get_by_label("Temperature").is_visible()
    for text in ("", "Once", HOSTILE):
        page.get_by_label("Text to see as tokens").fill(text)
        found = service.post("/tokenize", model="tiny", prompt=text)
        page.get_by_text(f"{found['count']} tokens; the model").wait_for()
        assert page.locator("#tokens span").all_text_contents() == found["token_strs"]
        titles = page.eval_on_selector_all("#tokens span", "all => all.map(each => each.title)")
        assert titles == [f"id {each}" for each in found["tokens"]]


def test_a_model_without_conversations_has_no_chat(page: Any) -> None:
    assert page.get_by_role("tab", name="Chat").get_attribute("aria-selected") == "true"
    page.get_by_label("Model").select_option("silent")
    assert page.get_by_role("tab", name="Chat").is_disabled()
    assert page.get_by_role("tab", name="Continue a text").get_attribute("aria-selected") == "true"


def test_a_refusal_is_said(page: Any) -> None:
    page.get_by_label("Temperature").fill("5")
    page.get_by_label("Your turn").fill("Hello")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("#status.error")
    assert "temperature" in page.locator("#status").text_content()


def test_nothing_is_wider_than_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    for tab in ("Chat", "Continue a text", "Tokens"):
        page.get_by_role("tab", name=tab).click()
        assert not page.evaluate(wide), tab
