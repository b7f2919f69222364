"""A session at the keyboard: turns, settings, Ctrl-C, and the history of what was typed."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from llm_explainer.backend import load_backend
from llm_explainer.commands import history
from llm_explainer.config import ModelConfig
from llm_explainer.generation import SamplingConfig
from llm_explainer.generation.session import Session, read_value, unescape
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer

TOKENIZER = BPETokenizer.train(["Once upon a time a fox met a hen. The hen sang. " * 4], 280)


@pytest.fixture(scope="module")
def model():
    config = ModelConfig.preset("tiny", vocab_size=TOKENIZER.vocab_size, context_length=64)
    return load_backend("numpy").GPT(config, seed=3)


class Log:
    """What a session showed."""

    def __init__(self, model, tokenizer=TOKENIZER, **settings):
        self.text, self.notes = "", []
        sampling = SamplingConfig(**{"max_tokens": 8, **settings})
        self.session = Session(model, tokenizer, sampling, self.write, self.notes.append)

    def write(self, piece):
        self.text += piece

    def run(self, *lines):
        self.session.run(lines)
        return self


class Letters:
    """A model that goes on with the alphabet, a b c d, then ends the text; it notes prompts."""

    def __init__(self, interrupt_at=0):
        self.tokenizer = CharTokenizer.train(["abcd "])
        a, b, c, d, end = range(1, 6)  # and 0 is the space
        self.successor = np.array([a, b, c, d, end, a])
        self.config = ModelConfig(vocab_size=6, context_length=64, d_model=8, n_layers=1, n_heads=1)
        self.prompts, self.steps, self.interrupt_at = [], 0, interrupt_at

    def make_cache(self, batch_size, capacity):
        return SimpleNamespace(lengths=np.zeros(batch_size), trim=lambda lengths: None)

    def next_logits(self, tokens, cache, lengths=None):
        self.steps += 1
        if self.steps == self.interrupt_at:
            raise KeyboardInterrupt
        if lengths is not None:
            self.prompts.append(self.tokenizer.decode(tokens[0]))
        return 50.0 * np.eye(6)[self.successor[tokens[:, -1]]]


def test_each_line_continues_the_text_so_far():
    letters = Letters()
    log = Log(letters, letters.tokenizer, max_tokens=2).run("a", "a", "", "a", " ", "a")
    assert letters.prompts == [
        "a",
        "abc a",  # set apart by a space
        "abc abc",  # an empty line: the model goes on, and completes the text
        "abc abcd<|endoftext|>a",
        "abc abcd<|endoftext|>abc ",
        "abc abcd<|endoftext|>abc ab a",
    ]
    assert log.text == "bc\nbc\nd\nbc\nab\nbc\n"
    endings = [note.rpartition("; ")[2] for note in log.notes[1:]]
    assert endings[2] == "the text is complete"
    assert set(endings[:2] + endings[3:]) == {"ended at max-tokens"}


def test_reset_forgets_the_text_and_the_turns(model):
    once = Log(model).run("Once").text
    log = Log(model).run("Once", "/reset", "Once")
    assert log.text == once * 2
    assert "the text so far is forgotten" in log.notes


def test_settings_change_and_show(model):
    log = Log(model).run("/temperature 0", "/top-k 5", "/top-p off", "/stop \\n", "/max-tokens")
    sampling = log.session.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0, 5, None)
    assert sampling.stop == ("\n",)
    assert log.notes[1:] == [
        "/temperature 0",
        "/top-k 5",
        "/top-p off",
        "/stop '\\n'",
        "/max-tokens 8",
    ]
    assert log.run("/stop off").session.sampling.stop == ()
    assert log.run("/settings").notes[-8:] == [
        "/repetition-penalty 1.0",
        "/temperature 0",
        "/top-k 5",
        "/top-p off",
        "/min-p off",
        "/seed 0",
        "/max-tokens 8",
        "/stop off",
    ]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("/temperature hot", "error: temperature is 'hot'; it takes a number of 0 or more"),
        ("/temperature off", "error: temperature is None; it takes a number of 0 or more"),
        ("/top-k 1.5", "error: top_k is 1.5; it takes a whole number from 1 on"),
        ("/top-p 0", "error: top_p is 0; it takes a number over 0, up to 1"),
        ("/seed", "/seed 0"),
        ("/dance", "unknown command /dance; /help lists them"),
        ("\ud800", None),
    ],
)
def test_a_wrong_line_is_one_note_and_the_session_lives(model, line, note):
    log = Log(model).run(line, "Once")
    assert note is None or log.notes[1] == note
    assert len(log.notes) == 3  # the greeting, this one, and the summary of the next turn
    assert log.text == Log(model).run("Once").text


def test_help_names_every_command(model):
    text = "\n".join(Log(model).run("/help").notes)
    for name in ("temperature", "top-p", "top-k", "max-tokens", "seed", "stop", "settings"):
        assert f"/{name} " in text
    assert "/reset" in text
    assert "/quit" in text


def test_quit_leaves(model):
    assert Log(model).run("/quit", "Once").text == ""


def test_a_conversation_outgrows_the_context(model):
    log = Log(model, max_tokens=40).run("Once", "and", "then", "so")
    assert log.text.count("\n") >= 3
    assert any("outgrew the context" in note or "reads only" in note for note in log.notes)


def test_ctrl_c_stops_the_text_and_not_the_session():
    letters = Letters(interrupt_at=3)
    log = Log(letters, letters.tokenizer, max_tokens=3).run("a", "")
    assert log.text == "bc\nd\n"
    assert letters.prompts == ["a", "abc"]  # what was written stays
    assert log.notes[1].startswith("2 tokens in ")
    assert log.notes[1].endswith("; interrupted")


def test_ctrl_c_between_texts_does_not_end_the_session_either(monkeypatch):
    letters = Letters()
    log = Log(letters, letters.tokenizer)
    presses = iter([KeyboardInterrupt])

    def press_once(text):
        if pressed := next(presses, None):
            raise pressed
        return CharTokenizer.encode(letters.tokenizer, text)

    monkeypatch.setattr(letters.tokenizer, "encode", press_once)
    assert log.run("a", "a").text == "bcd\n"
    assert log.notes[1] == "interrupted"


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self):
        return True


def test_typed_lines_survive_ctrl_c_and_end_with_ctrl_d(monkeypatch):
    typed = iter(["one", KeyboardInterrupt(), "two", EOFError()])

    def fake_input(prompt):
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", fake_input)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(history, "readline", None)
    assert list(history.typed_lines()) == ["one", "two"]


@pytest.fixture
def kept_lines(tmp_path, monkeypatch):
    readline = pytest.importorskip("readline")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: (_ for _ in ()).throw(EOFError))
    readline.clear_history()
    yield tmp_path / "llm-explainer" / "history"
    readline.clear_history()


def test_history_outlives_the_session_and_is_bounded(kept_lines, monkeypatch):
    kept_lines.parent.mkdir()
    kept_lines.write_text("".join(f"line {i} é\n" for i in range(history.MAX_LINES + 5)), "utf-8")

    def type_one_line(prompt):
        history.readline.add_history("the newest")
        raise EOFError

    monkeypatch.setattr("builtins.input", type_one_line)
    list(history.typed_lines())
    lines = kept_lines.read_text("utf-8").splitlines()
    assert lines == [*(f"line {i} é" for i in range(6, history.MAX_LINES + 5)), "the newest"]


def test_a_history_that_cannot_be_kept_is_no_error(kept_lines):
    kept_lines.parent.write_text("a file where the folder should be")
    assert list(history.typed_lines()) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("0.5", 0.5), ("off", None), ("none", None), ("hot", "hot"), ("1e-3", 0.001)],
)
def test_values_are_read_as_typed(text, value):
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


def test_escapes_stand_for_characters():
    assert unescape(r"a\nb\tc\\nd\x") == "a\nb\tc\\nd\\x"
