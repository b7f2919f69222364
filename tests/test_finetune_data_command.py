"""The finetune-data command: records as tokens, what is trained of them, and what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chat_templates import CHATML, TOKENS
from command_line import Call, assert_one_line, command_runner

from llm_explainer import save_checkpoint
from llm_explainer.commands.finetune_data import finetune_data
from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend import GPT
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate

END = "<|endoftext|>"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    BPETokenizer.train(["ab"], 257).save(tmp_path / "bytes.json")
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def lines(*records: dict[str, Any]) -> str:
        (tmp_path / "qa.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        return "qa.jsonl"

    return lines


def chat(*contents: str) -> dict[str, Any]:
    roles = ("user", "assistant") * len(contents)
    return {"messages": [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]}


def test_what_is_trained_stands_in_brackets_where_there_are_no_colours(
    command: Call, write: Any
) -> None:
    file = write({"prompt": "q?", "completion": "a\x1b"}, {"text": "t"}, *[{"text": "u"}] * 8)
    code, out, err = command(
        finetune_data, file, "--tokenizer=bytes.json", "--records=9", "--batch-size=16"
    )
    assert (code, err) == (0, "")
    assert "9 records of qa.jsonl, 1 more to be judged by" in out
    assert "9 of 9 records; what is in brackets is trained" in out
    shown = out.splitlines()
    assert shown[shown.index("record 1") + 1] == rf"q│?│[a][\x1b][{END}]"
    assert shown[shown.index("record 2") + 1] == f"{END}│[t][{END}]"
    facts = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in shown[-5:])
    assert facts == {
        "records": "9",
        "tokens": "29, 3 to 5 a record",
        "trained": "19 tokens, 65.5%",
        "cut": "none",
        "padding": "44.4%",
    }
    assert "\x1b" not in out
    assert "chat template" not in out


def test_conversations_come_with_their_template_and_colours(
    command: Call, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(chat("Hi", "Yes"), chat("No answer"), chat("1", "2" * 99))
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "40"}.items():
        monkeypatch.setenv(name, value)
    options = ("--tokenizer", "bytes.json", "--context-length", 130)
    code, out, _ = command(finetune_data, file, *options)
    assert code == 0
    assert "what is coloured is trained" in out
    assert "chat template" in out
    assert "{{ 'Assistant: ' + message['content'] + eos_token }}" in out
    assert "1 with nothing to learn" in out
    # The question is grey, the answer has a colour of its own.
    tokens = re.findall(r"\x1b\[([0-9;]+)m([^\x1b]+)\x1b", out)
    styles = {text: style for style, text in tokens if text in "HiYs"}
    assert styles["H"].split(";48;")[0] == styles["i"].split(";48;")[0]
    assert styles["Y"].split(";48;")[0] != styles["H"].split(";48;")[0]


def test_a_long_record_is_cut_and_counted_or_refused(command: Call, write: Any) -> None:
    file = write(*[{"prompt": "x" * 900, "completion": "yes"}] * 2)
    options = (file, "--tokenizer", "bytes.json", "--context-length", 600)
    code, out, _ = command(finetune_data, *options)
    assert code == 0
    assert "... 201 tokens before" in out
    assert "2 longer than the context" in out
    refused = command(finetune_data, *options, "--long-records", "refuse")
    assert_one_line(refused, "qa.jsonl, line 1 has 904 tokens, and the context takes 601")


def test_a_model_gives_tokenizer_context_and_template(
    command: Call, write: Any, tmp_path: Path
) -> None:
    special = (END, "<|im_start|>", "<|im_end|>")
    tokenizer = BPETokenizer.train(["ab"], 259, special_tokens=special)
    tokenizer.chat_template = ChatTemplate(CHATML, TOKENS)
    config = ModelConfig(vocab_size=259, d_model=4, n_layers=1, n_heads=1, context_length=80)
    save_checkpoint(tmp_path / "base", GPT(config), tokenizer)
    file = write(chat("Hi", "Yes"), chat("Hi", "No"))
    code, out, _ = command(finetune_data, file, "--from", "base")
    assert code == 0
    assert "tokenizer base, context 80 tokens" in out
    assert "[Y][e][s][<|im_end|>]↵│" in out
    assert command(finetune_data, file, "--tokenizer", "base")[1].count("[<|im_end|>]") == 1
    both = command(finetune_data, file, "--from", "base", "--tokenizer", "bytes.json")
    assert_one_line(both, "--from base has a tokenizer of its own")


def test_the_stories_questions_are_shown_without_a_file(command: Call) -> None:
    code, out, _ = command(finetune_data, "--stories", 20, "--records", 1)
    assert code == 0
    assert "questions about 20 stories" in out
    assert re.search(r"\?│(\[[^\]]+\])+\[<\|endoftext\|>\]", out)


def test_what_is_wrong_is_one_line(command: Call, write: Any, tmp_path: Path) -> None:
    with_bytes = ("--tokenizer", "bytes.json")
    assert_one_line(command(finetune_data, "no.jsonl", *with_bytes), "no.jsonl: No such file")
    assert_one_line(command(finetune_data, ".", *with_bytes), "Is a directory")
    (tmp_path / "empty").touch()
    assert_one_line(command(finetune_data, "empty", *with_bytes), "empty is empty")
    (tmp_path / "a\nb.jsonl").write_text('{"prompt": 1, "completion": "x"}')
    assert_one_line(command(finetune_data, "a\nb.jsonl", *with_bytes), "line 1 has a number as")
    file = write({"prompt": "q", "completion": "a" * 200})
    assert_one_line(command(finetune_data, file, *with_bytes), "line 1 has an answer that does not")
    assert_one_line(command(finetune_data, write(chat("1")), *with_bytes), "none of 1 records has")
    assert_one_line(command(finetune_data, file, "--from", "nowhere"), "nowhere does not exist")
    assert_one_line(
        command(finetune_data, file, "--tokenizer", "bytes"), "no token that ends a text"
    )
    assert_one_line(
        command(finetune_data, write(chat("1")), "--tokenizer", "bytes"),
        "no token that ends a text",
    )
