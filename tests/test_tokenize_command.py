"""The tokenize command: what it shows of texts, tokenizers and merges, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from command_line import FakeInput, assert_one_line, command_runner
from tokenizer_cases import NASTY_TEXTS, SAMPLE, data_file

from llm_explainer.commands.tokenize import tokenize
from llm_explainer.console.tokens import (
    UNICODE,
    visible,
)
from llm_explainer.data.tokenizer_specs import open_tokenizer
from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer

TOKENIZER = BPETokenizer.train([SAMPLE], 320)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def saved(tmp_path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def test_a_text_from_an_argument_a_file_and_a_pipe(command, saved, tmp_path):
    text = "The theme, naïve\n"
    (tmp_path / "text.txt").write_bytes(text.encode())
    by_argument = command(tokenize, text, "--tokenizer", saved)
    assert by_argument == command(tokenize, "--file", "text.txt", "--tokenizer", saved)
    piped = FakeInput(text.encode())
    assert by_argument == command(tokenize, "--tokenizer", saved, stdin=piped)
    code, out, err = by_argument
    assert (code, err) == (0, "")
    ids = TOKENIZER.encode(text)
    tokens = [TOKENIZER.vocab[i] for i in ids]
    assert out.splitlines()[0] == "".join(visible(token, UNICODE) + "│" for token in tokens)
    assert f"{len(ids)} tokens for 17 characters, 18 bytes" in out
    rows = [line.split() for line in out.splitlines() if re.match(r"\s+\d+ ", line)]
    assert [int(row[2]) for row in rows] == ids
    assert [bytes.fromhex("".join(row[3:]).partition("part")[0]) for row in rows] == tokens
    assert "\x1b" not in out  # no colours where nobody can see them


def test_colours_on_request_and_none_with_no_color(command, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = command(tokenize, "a b", "--tokenizer=bytes")[1]
    assert "\x1b[" in out
    assert "│" not in out
    monkeypatch.setenv("NO_COLOR", "1")
    out = command(tokenize, "a b", "--tokenizer=bytes")[1]
    assert "a│·│b│" in re.sub(r"\x1b\[\d*m", "", out)
    assert ";5;" not in out


def test_without_a_tokenizer_one_is_learned_and_said_so(command):
    code, out, _ = command(tokenize, "Once upon a time")
    assert code == 0
    assert out.startswith("tokenizer: learned just now from 400,000 bytes of the built-in stories")
    assert "Once│" in out


def test_a_long_text_is_cut_and_says_how_much_is_left_out(command):
    out = command(tokenize, "x" * 5000, "--tokenizer=bytes", "--tokens=30", "--rows=3")[1]
    assert out.splitlines()[0] == "x│" * 30
    assert "... and 4,970 tokens more; --tokens N shows more" in out
    assert "3 rows of 5,000; --rows N shows more" in out
    assert len(re.findall("^ +\\d+ ", out, re.MULTILINE)) == 3
    assert "place" not in command(tokenize, "abc", "--tokenizer=bytes", "--rows=0")[1]


def test_special_tokens_count_as_such_unless_told_otherwise(command):
    out = command(tokenize, "a<|endoftext|>", "--tokenizer=stories:300")[1]
    assert "a│<|endoftext|>│" in out
    assert "special token" in out
    out = command(tokenize, "a<|endoftext|>", "--tokenizer=stories:300", "--no-special")[1]
    assert "special token" not in out


def test_two_tokenizers_side_by_side(command, saved):
    code, out, _ = command(tokenize, "the theme", "--tokenizer", saved, "--compare=bytes")
    assert code == 0
    assert "t│h│e│·│t│h│e│m│e│" in out
    assert re.search(rf"tokens +{len(TOKENIZER.encode('the theme'))} +9 *\n", out)
    assert "cut differently" in out
    out = command(tokenize, "the", "--tokenizer=bytes", "--compare=bytes")[1]
    assert "Both cut this text at the same places." in out


def test_a_tokenizer_of_words_can_be_counted_beside_another(command, tmp_path):
    WordTokenizer.train([SAMPLE]).save(tmp_path / "words.json")
    code, out, _ = command(tokenize, "the  first", "--tokenizer=words.json", "--compare=bytes")
    assert code == 0
    assert "does not keep all of the text" in out
    assert command(tokenize, "  ", "--tokenizer=words.json")[0] == 0  # which is no token at all


def test_info_says_what_there_is_to_know(command, saved):
    import hashlib

    code, out, _ = command(tokenize, "--info", "--tokenizer", saved)
    assert code == 0
    for needle in ("byte-level BPE with 63 merges", "320 tokens, 16 bits", "<|endoftext|> = 319"):
        assert needle in out
    assert hashlib.sha256(saved.read_bytes()).hexdigest() in out.replace("\n", "").replace(" ", "")
    assert re.search("runs on +(the compiled core|NumPy; no compiled core)", out)


def test_a_replay_shows_each_merge_and_why_it_ends(command):
    code, out, _ = command(tokenize, "--replay", "It's", "--replay= together")
    assert code == 0
    assert "The pattern cuts this into 2 words" in out
    assert re.search(r"1  merge \d+ of 767: . \+ .", out)
    assert "·together 7" in out.splitlines()[-1]
    assert "No neighbours have a merge: ' + s was never learned." in out


def test_a_replay_step_by_step_waits_for_enter_and_q_ends_it(command, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")

    def merges(typed):
        stdin = FakeInput(typed, terminal=True)
        return command(tokenize, "--replay= together", "--step", stdin=stdin)[1].count("merge ")

    assert merges(b"\n" * 50) == 8
    assert merges(b"\n\nq\n") == 2
    assert merges(b"\n") == 1  # Ctrl-D


def test_a_word_that_is_taken_whole_is_not_replayed(command, tmp_path):
    parts = TOKENIZER.vocab, TOKENIZER.merges, {}
    BPETokenizer(*parts, ignore_merges=True).save(tmp_path / "whole.json")
    for text, n_merges in ((" the", 0), (" thex", len(TOKENIZER.encode(" the")) + 1)):
        out = command(tokenize, f"--replay={text}", "--tokenizer=whole.json")[1]
        assert (out.count(" of 63: ") > 0) == (n_merges > 0)


def test_a_special_token_is_nothing_to_merge(command):
    assert "special token, 1023" in command(tokenize, "--replay=<|endoftext|>")[1]


@pytest.mark.parametrize("text", [text for text in NASTY_TEXTS if text])
def test_nasty_texts_are_shown(command, saved, text):
    options = ["--tokenizer", saved, "--compare=bytes"]
    code, out, _ = command(tokenize, *options, stdin=FakeInput(text.encode()))
    assert code == 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", out)


# Which tokenizer


def test_a_tokenizer_is_found_in_folders_and_files(tmp_path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    assert open_tokenizer(str(tmp_path)).tokenizer.vocab == TOKENIZER.vocab
    assert open_tokenizer(str(tmp_path / "tokenizer.json")).tokenizer.vocab == TOKENIZER.vocab
    assert open_tokenizer("stories:300").tokenizer.vocab_size == 300
    assert open_tokenizer("bytes").tokenizer.encode("é") == [0xC3, 0xA9]


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("gpt2-vocab.json", "vocab.bpe")])
def test_gpt2s_two_files_are_found_by_their_names(tmp_path, names):
    document = json.loads(TOKENIZER.to_json())["model"]
    merges = "\n".join(" ".join(pair) for pair in document["merges"])
    (tmp_path / names[0]).write_text(json.dumps(document["vocab"]))
    (tmp_path / names[1]).write_text(f"#version: 0.2\n{merges}\n")
    for spec in (tmp_path, tmp_path / names[0]):
        found = open_tokenizer(str(spec))
        assert found.tokenizer.merges == TOKENIZER.merges
        assert len(list(found.digests())) == 2


def test_a_tiktoken_rank_file_is_told_by_its_content(tmp_path):
    import base64

    lines = [f"{base64.b64encode(TOKENIZER.vocab[i]).decode()} {i}\n" for i in range(319)]
    (tmp_path / "ranks.tiktoken").write_text("".join(lines))
    gpt2 = open_tokenizer(f"{tmp_path / 'ranks.tiktoken'}:gpt2").tokenizer
    assert gpt2.pattern == "gpt2"
    assert gpt2.encode(SAMPLE) == TOKENIZER.encode(SAMPLE)
    assert open_tokenizer(str(tmp_path / "ranks.tiktoken")).tokenizer.pattern == "gpt4"


def test_gpt2_as_published():
    vocab = data_file("gpt2_vocab.json")
    tokenizer = open_tokenizer(str(vocab)).tokenizer
    assert tokenizer.encode(" theouterspace") == [262, 280, 1010, 10223]


# Bad input


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        (["--file=nowhere.txt"], ["nowhere.txt", "No such file"]),
        (["--file=."], ["directory"]),
        (["--file=latin1.txt"], ["latin1.txt", "UTF-8", "0xe9 at 3"]),
        (["--file=empty.txt"], ["empty.txt is empty"]),
        ([""], ["the text is empty"]),
        ([], ["the text from the pipe is empty"]),
        (["a", "--file=empty.txt"], ["leave one of them out"]),
        (["\ud800"], ["UTF-8"]),
        (["a", "--tokenizer=nowhere"], ["no tokenizer 'nowhere'", "tokenizer.json"]),
        (["a", "--tokenizer="], ["no tokenizer ''"]),
        (["a", "--tokenizer=."], ["neither a tokenizer.json nor"]),
        (["a", "--compare=nowhere"], ["no tokenizer 'nowhere'"]),
        (["a", "--tokenizer=stories:many"], ["stories:many", "stories:1024"]),
        (["a", "--tokenizer=stories:100"], ["vocab_size is 100", "257"]),
        (["a", "--tokenizer=latin1.txt"], ["latin1.txt"]),
        (["--replay="], ["0 bytes"]),
        ([f"--replay={'x' * 201}"], ["201 bytes", "200"]),
        (["--replay=x", "--tokenizer=chars.json"], ["chars.json has no merges"]),
        (["q", "--tokenizer=chars.json"], ["'q' is not in the vocabulary"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_cannot_work_is_one_line(command, tmp_path, arguments, needles):
    (tmp_path / "latin1.txt").write_bytes("café ".encode("latin-1"))
    (tmp_path / "empty.txt").write_bytes(b"")
    CharTokenizer.train(["abc"]).save(tmp_path / "chars.json")
    assert_one_line(command(tokenize, *arguments), *needles)


def test_a_pipe_that_is_no_utf8_and_a_terminal_with_no_text(command):
    assert_one_line(command(tokenize, stdin=FakeInput(b"\xff")), "pipe is not UTF-8", "0xff at 0")
    assert_one_line(command(tokenize, stdin=FakeInput(terminal=True)), "no text", "--file")


def test_a_file_that_only_looks_like_a_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        open_tokenizer(str(tmp_path))


def test_help_loads_nothing_heavy_and_shows_examples():
    program = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from llm_explainer.commands.app import run\n"
        "from llm_explainer.commands.tokenize import tokenize\n"
        "try:\n    run(tokenize)\nexcept SystemExit as leaving:\n"
        "    heavy = {'numpy', 'regex'} & set(sys.modules)\n"
        "    sys.exit(f'{leaving.code} {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.stderr.decode().strip() == "0 set()"
    assert b"--replay" in done.stdout
    assert b"Examples:" in done.stdout
