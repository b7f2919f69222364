"""A prompt may end anywhere: half a word goes on as the whole one would, however one asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_generation import GREEDY, TEXT, Script, Spy, make_model

from llm_explainer.generation import complete_batch, generate, generate_batch
from llm_explainer.generation.sampling_config import SamplingConfig
from llm_explainer.generation.session import Session
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer

WORDS = "the fox went home and the hen sang, for she was old"
LEARNED = BPETokenizer.train([f"{WORDS}\n{TEXT}" * 4], 330)
HALVES = BPETokenizer.train([f"{WORDS}\n"], 270, min_frequency=1)  # most words are several tokens


class Reciter(Script):
    """A model that knows one text by heart, whatever comes before it, and says nothing else."""

    def __init__(self, tokenizer: BPETokenizer, text: str) -> None:
        super().__init__(range(tokenizer.vocab_size))
        self.ids = [tokenizer.end_of_text, *tokenizer.encode(text), tokenizer.end_of_text]
        self.read: list[list[int]] = []

    def next_logits(self, tokens: Any, cache: Any = None, lengths: Any = None) -> Any:
        rows = [row[:n].tolist() for row, n in zip(tokens, _lengths(tokens, lengths), strict=True)]
        logits = np.zeros((len(rows), len(self.successor)))
        if cache is not None:
            rows = [[*old, *row] for old, row in zip(_kept(cache, len(rows)), rows, strict=True)]
            cache.rows = rows
        for row, scores in zip(rows, logits, strict=True):
            begun = row if row[0] == self.ids[0] else [self.ids[0], *row]
            known = begun == self.ids[: len(begun)]
            scores[self.ids[len(begun)] if known else 7] = 50.0
        return logits

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> Any:
        cache = super().make_cache(batch_size, capacity)
        cache.keep = lambda rows: setattr(cache, "rows", [cache.rows[row] for row in rows])
        return cache


def _lengths(tokens: Any, lengths: Any) -> list[int]:
    return [tokens.shape[1]] * len(tokens) if lengths is None else list(lengths)


def _kept(cache: Any, n: int) -> list[list[int]]:
    return getattr(cache, "rows", [[] for _ in range(n)])


@pytest.mark.parametrize("tokenizer", [LEARNED, HALVES], ids=["words", "halves"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_every_prefix_goes_on_to_the_same_text(tokenizer: BPETokenizer, use_cache: bool) -> None:
    model = Reciter(tokenizer, WORDS)
    model.make_cache = model.make_cache if use_cache else Script.make_cache
    options = {**GREEDY, "max_tokens": 60}
    for end in range(len(WORDS)):
        stream = generate(model, tokenizer, WORDS[:end], use_cache=use_cache, **options)
        assert WORDS[:end] + "".join(stream) == WORDS
        assert tokenizer.decode(stream.prompt_ids + stream.ids) == WORDS
    # and not so without: the model has never seen what half a word is made of
    text = "".join(generate(model, tokenizer, WORDS[:5], heal=False, **options))
    assert WORDS[:5] + text != WORDS


def test_a_batch_heals_each_of_its_prompts() -> None:
    prompts = [WORDS[:end] for end in range(len(WORDS))]
    texts = generate_batch(Reciter(HALVES, WORDS), HALVES, prompts, max_tokens=60, **GREEDY)
    whole = {prompt + text for prompt, text in zip(prompts, texts, strict=True)}
    assert whole == {WORDS}


@pytest.mark.parametrize(("end", "new"), [(6, "x"), (7, " went"), (10, "nt")])
def test_a_token_counts_where_it_says_more_than_the_prompt(end: int, new: str) -> None:
    stream = generate(Reciter(LEARNED, WORDS), LEARNED, WORDS[:end], max_tokens=1, **GREEDY)
    assert ("".join(stream), len(stream.ids)) == (new, 1)


def test_a_model_may_know_fewer_tokens_than_its_tokenizer() -> None:
    model = Script(range(270))  # of LEARNED's 330
    assert "".join(generate(model, LEARNED, "- t", max_tokens=3, **GREEDY))


MODEL = make_model(LEARNED, context_length=64)


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(max_size=12), seed=st.integers(0, 3), temperature=st.sampled_from([0, 1.0]))
def test_the_text_begins_with_the_bytes_of_the_prompt(
    prompt: str, seed: int, temperature: float
) -> None:
    options = {"max_tokens": 4, "seed": seed, "temperature": temperature, "repetition_penalty": 1.3}
    stream = generate(MODEL, LEARNED, prompt, **options)
    text = "".join(stream)
    written = LEARNED.decode(stream.prompt_ids + stream.ids)
    assert written == prompt + text
    assert len(stream.ids) <= 4
    assert [text] == [c.text for c in complete_batch(MODEL, LEARNED, [prompt], **options)]


def first_read(tokenizer: Any, prompt: Any, **options: Any) -> list[int]:
    """Return what a model is given to read first."""
    seen: list[list[int]] = []

    class Reader(Spy):
        def next_logits(self, tokens: Any, *rest: Any) -> Any:
            seen.append(tokens[0].tolist())
            return super().next_logits(tokens, *rest)

        def next_ids(self, tokens: Any, *rest: Any) -> Any:
            seen.append(tokens[0].tolist())
            return super().next_ids(tokens, *rest)

    list(generate(Reader(make_model(tokenizer)), tokenizer, prompt, max_tokens=1, **options))
    return seen[0]


@pytest.mark.parametrize(
    ("prompt", "head"),
    [
        ("the fox we", "the fox"),
        ("the fox ", "the fox"),
        ("the fox  \n ", "the fox"),  # white space is one word, as the pattern has it
        ("the<|endoftext|>fo", "the<|endoftext|>"),
        ("the fox<|endoftext|>", "the fox<|endoftext|>"),  # nothing is half of it
        ("fo", "<|endoftext|>"),
        (" fo", " fo"),  # no text begins with a space
        ("\n", "\n"),
    ],
)
def test_it_goes_back_to_where_the_last_word_begins(prompt: str, head: str) -> None:
    assert first_read(LEARNED, prompt) == LEARNED.encode(head)


def test_what_a_file_puts_before_every_text_stays_before_it() -> None:
    end = LEARNED.end_of_text
    plain = {i: t for i, t in LEARNED.vocab.items() if i != end}
    prefixed = BPETokenizer(plain, LEARNED.merges, LEARNED.special_tokens, prefix=[end])
    for prompt, head in (("the fox we", "the fox"), ("fo", ""), (" fo", " fo")):
        assert first_read(prefixed, prompt) == [end, *LEARNED.encode(head)]


def test_what_is_not_healed() -> None:
    ids = LEARNED.encode("the fox we")
    assert first_read(LEARNED, ids) == ids
    assert first_read(LEARNED, "the fox we", heal=False) == ids
    characters = CharTokenizer.train([WORDS])  # every character is a token of its own
    assert first_read(characters, "the fo") == characters.encode("the fo")


def test_tokens_of_the_prompt_do_not_count() -> None:
    stream = generate(Reciter(HALVES, WORDS), HALVES, "the fox wen", max_tokens=1, **GREEDY)
    text = "".join(stream)
    assert "the fox wen" + text == HALVES.decode(stream.prompt_ids + stream.ids)
    assert text
    assert len(stream.ids) == 1
    whole_words = generate(Reciter(LEARNED, WORDS), LEARNED, "the fox", max_tokens=1, **GREEDY)
    assert "".join(whole_words) == LEARNED.decode(whole_words.ids) != ""
    none = generate(Reciter(HALVES, WORDS), HALVES, "the fox wen", max_tokens=0, **GREEDY)
    assert ("".join(none), none.prompt_ids) == ("", HALVES.encode("the fox wen"))


def test_a_session_heals_what_is_typed() -> None:
    written: list[str] = []
    model = Reciter(HALVES, WORDS)
    sampling = SamplingConfig(max_tokens=2, **GREEDY)
    Session(model, HALVES, sampling, written.append, lambda _: None).run(["the fo", "", ""])
    text = "the fo" + "".join(written).replace("\n", "")  # a line break ends each turn
    assert text == WORDS[: len(text)]
    assert len(text) > len("the fox")
