"""Ids to text as they come: whole characters, and stop strings however the text is cut."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_explainer.backend import load_backend
from llm_explainer.config import ModelConfig
from llm_explainer.generation import generate, generate_batch
from llm_explainer.generation.transcript import StopStrings, Transcript
from llm_explainer.tokenizer import BPETokenizer

BYTES = BPETokenizer.train(["abc"], 257)  # the bytes themselves, and the end of text

texts = st.text(alphabet="abE", max_size=30)
stops = st.lists(st.text(alphabet="abE", min_size=1, max_size=5), max_size=3)


def cut(text, places):
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


def run(stop_strings, pieces):
    return [stop_strings.push(piece) for piece in pieces] + [stop_strings.finish()]


@given(texts, stops, st.lists(st.integers(0, 30), max_size=8))
@example("xaEbE", ["Eb", "aEbE"], [])  # the one that is complete first
@example("aabE", ["abE", "E"], [2])  # two that end together: the longer
def test_stop_strings_do_not_depend_on_the_pieces(text, stop, places):
    watch = StopStrings(stop)
    shown = "".join(run(watch, cut(text, places)))
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(s) for s in stop)]
    if not ends:
        assert (shown, watch.found) == (text, False)
    else:
        longest = max(len(s) for s in stop if text[: ends[0]].endswith(s))
        assert (shown, watch.found) == (text[: ends[0] - longest], True)


def test_only_what_may_begin_a_stop_string_is_kept_back():
    watch = StopStrings(["END", "\n\n"])
    assert run(watch, ["the E", "gg\n", "EN", "x", "E", "N"]) == [
        "the ",
        "Egg",
        "\n",
        "ENx",
        "",
        "",
        "EN",
    ]
    assert not watch.found


def test_nothing_comes_after_a_stop_string():
    watch = StopStrings(["END"])
    assert run(watch, ["a", "bEN", "Dc", "d"]) == ["a", "b", "", "", ""]


@given(st.text(alphabet="aé—🦊", min_size=1, max_size=12))
def test_pieces_never_end_inside_a_character(text):
    transcript = Transcript(BYTES, [], [])
    pieces = [transcript.push(token) for token in BYTES.encode_ordinary(text)]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert transcript.finish() == ""


def test_half_a_character_at_the_end_shows_as_replaced():
    transcript = Transcript(BYTES, [], [])
    pieces = [transcript.push(token) for token in BYTES.encode("a🦊")[:-1]]
    assert [*pieces, transcript.finish()] == ["a", "", "", "", "\ufffd"]


def test_a_character_may_begin_in_the_prompt():
    ids = BYTES.encode("🦊!")
    transcript = Transcript(BYTES, ids[:2], [])
    assert "".join(transcript.push(token) for token in ids[2:]) == "🦊!"


def test_a_stop_string_spans_tokens_and_special_characters():
    transcript = Transcript(BYTES, BYTES.encode("— "), ["é—é"])
    shown = "".join(transcript.push(token) for token in BYTES.encode("aé—é—éb"))
    assert (shown, transcript.stopped) == ("a", True)


def test_what_only_looked_like_a_stop_string_is_text_in_the_end():
    transcript = Transcript(BYTES, [], ["END"])
    shown = [transcript.push(token) for token in BYTES.encode("a EN")]
    assert ["".join(shown), transcript.finish()] == ["a ", "EN"]


@pytest.fixture(scope="module")
def model():
    config = ModelConfig.preset("tiny", vocab_size=BYTES.vocab_size, context_length=128)
    return load_backend("numpy").GPT(config, seed=2)


def test_generation_ends_before_a_stop_string(model):
    options = {"max_tokens": 60, "temperature": 1.0, "top_p": None, "seed": 4}
    full = "".join(generate(model, BYTES, "a", **options))
    stop = full[20:23]
    stream = generate(model, BYTES, "a", stop=[stop, "never there"], **options)
    assert "".join(stream) == full[: full.index(stop)]
    assert stream.ended_by == "stop"
    assert len(stream.ids) < 60
    assert generate_batch(model, BYTES, ["a"], stop=[stop], **options) == [full[: full.index(stop)]]


def test_a_stop_string_in_the_prompt_does_not_count(model):
    stream = generate(model, BYTES, "aSTOP", stop=["STOP"], max_tokens=5, temperature=0.0)
    assert len("".join(stream)) > 0
    assert stream.ended_by == "max_tokens"


def test_streamed_pieces_join_to_the_decoded_ids(model):
    for seed in range(5):
        stream = generate(model, BYTES, "", seed=seed, max_tokens=80, temperature=1.5, top_p=None)
        assert "".join(stream) == BYTES.decode(stream.ids)
