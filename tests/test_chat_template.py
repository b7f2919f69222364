"""Chat templates: the text that transformers renders, in a sandbox, kept with the tokenizer."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from chat_templates import CHATML, MARKED, TOKENS, by_transformers, rendered, turns

from llm_explainer import load_checkpoint, save_checkpoint
from llm_explainer.checkpoint.chat_templates import read_chat_template
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError, TokenizerError
from llm_explainer.numpy_backend import GPT
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.chat_template import PLAIN_WORDS, ChatTemplate

GOLDEN = json.loads((Path(__file__).parent / "chat_templates.json").read_text())
HELLO = turns("Hi", "Hello")


def test_the_text_is_what_transformers_rendered() -> None:
    def ours(template: str, messages: list[dict[str, str]], ask: bool) -> str:
        return ChatTemplate(template, TOKENS).render(messages, add_generation_prompt=ask)

    assert rendered(ours) == GOLDEN
    refused = [text for titles in GOLDEN.values() for both in titles.values() for text in both]
    assert refused.count(None) == 12  # the strict one takes no system message


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_the_text_is_what_transformers_renders() -> None:
    assert rendered(by_transformers) == GOLDEN


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for x in", "cannot be read as Jinja"),
        ("{{ raise_exception('no\nfoxes') }}", "refuses or fails: no foxes$"),
        ("{{ messages[9].content }}", "refuses or fails: .*has no element 9"),
        ("{{ messages.append(1) }}", "refuses or fails: .*unsafe"),
        ("{{ ''.__class__.__mro__ }}", "refuses or fails: .*unsafe"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "refuses or fails: more than 1,000,000"),
        (
            "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
            "refuses or fails: more than 1,000,000 steps",
        ),
        (
            "{% set x = 'a' * 100000 %}{% for i in range(900) %}{{ x }}{% endfor %}",
            "refuses or fails: a text of more than 16,777,216",
        ),
        ("{% include 'x' %}", "refuses or fails: no loader"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "refuses or fails: maximum recursion"),
        ("{% generation %}a", "cannot be read as Jinja"),
        (
            "{% set x %}{% generation %}a{% endgeneration %}{% endset %}b{{ x }}",
            "moves what it marks",
        ),
    ],
)
def test_a_template_that_fails_or_breaks_out_is_one_line(source: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        ChatTemplate(source).render(HELLO)
    assert "\n" not in str(caught.value)


def test_without_jinja2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm_explainer.tokenizer.chat_sandbox", None)
    with pytest.raises(TokenizerError, match=r"takes jinja2, .* uv sync --extra chat"):
        ChatTemplate("another {{ messages }}").render(HELLO)


def test_marks_say_what_the_assistant_wrote() -> None:
    text, spans = ChatTemplate(MARKED, TOKENS).render_with_spans(turns("1", "A", "2", "B\nb"))
    assert [text[start:end] for start, end in spans] == ["A", "B\nb"]
    assert ChatTemplate().render_with_spans(HELLO)[1] == []


def test_a_template_is_stored_with_the_tokenizer(tmp_path: Path) -> None:
    config = ModelConfig(vocab_size=257, d_model=4, n_layers=1, n_heads=1, context_length=8)
    model, tokenizer = GPT(config), BPETokenizer.train(["ab"], 257)
    save_checkpoint(tmp_path / "bare", model, tokenizer)
    assert load_checkpoint(tmp_path / "bare", "numpy")[1].chat_template is None
    tokenizer.chat_template = ChatTemplate()
    save_checkpoint(tmp_path / "chat", model, tokenizer)
    settings = json.loads((tmp_path / "chat" / "tokenizer_config.json").read_text())
    assert settings["chat_template"] == PLAIN_WORDS
    assert settings["eos_token"] == "<|endoftext|>"
    assert load_checkpoint(tmp_path / "chat", "numpy")[1].chat_template == ChatTemplate()


def test_templates_are_found_where_transformers_puts_them(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    assert read_chat_template(tmp_path) is None
    config.write_text('{"eos_token": "</s>", "bos_token": {"content": "<s>"}, "pad_token": null}')
    assert read_chat_template(tmp_path) is None
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": CHATML}]
    config.write_text(
        json.dumps({"chat_template": named, "eos_token": "</s>", "bos_token": {"content": "<s>"}})
    )
    tokens = {"eos_token": "</s>", "bos_token": "<s>"}
    assert read_chat_template(tmp_path) == ChatTemplate(CHATML, tokens)
    (tmp_path / "chat_template.jinja").write_text("first", encoding="utf-8")
    assert read_chat_template(tmp_path) == ChatTemplate("first", tokens)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("tokenizer_config.json", b'{"chat_template": 7}', "chat_template is int; it takes a text"),
        ("tokenizer_config.json", b"{", "is not valid JSON"),
        ("chat_template.jinja", b"\xff", "is not UTF-8"),
        ("chat_template.jinja", b"x" * (1 << 20 | 1), "is larger than"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_chat_template(tmp_path)
