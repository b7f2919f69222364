"""The replay of merges: it ends where encoding ends, and every step follows the rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_cases import NASTY_TEXTS, SAMPLE, data_file, texts

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.replay import merge_ranks, replay, words_of

TOKENIZER = BPETokenizer.train([SAMPLE, "aaaa aaa aaaaaaa abab " * 5], 360)
RANKS = merge_ranks(TOKENIZER)
IDS = {token: token_id for token_id, token in TOKENIZER.vocab.items()}

# Words of the sample, of its letters in other orders, and of anything.
words = st.one_of(
    st.sampled_from(SAMPLE.split()),
    st.text(st.sampled_from("abetho ngris'"), max_size=20),
    texts,
)


def replayed_ids(tokenizer, ranks, text):
    """Return the ids at which the replay of every word of a text ends."""
    ids = []
    by_token = {token: i for i, token in tokenizer.vocab.items()}
    for word, special in words_of(tokenizer, text):
        *_, last = replay(word.encode(), ranks)
        ids += [tokenizer.special_tokens[word]] if special else [by_token[p] for p in last.tokens]
    return ids


@given(words)
@example("aaaaaaa")  # overlapping pairs: the leftmost goes first
@example("the<|endoftext|>them")
def test_the_last_step_is_what_encode_gives(text):
    assert replayed_ids(TOKENIZER, RANKS, text) == TOKENIZER.encode(text)


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_nasty_texts_end_as_encode_does(text):
    assert replayed_ids(TOKENIZER, RANKS, text) == TOKENIZER.encode(text)


@given(words)
def test_each_step_joins_the_neighbours_that_were_learned_first(word):
    steps = list(replay(word.encode(), RANKS))
    assert steps[0].tokens == tuple(bytes([byte]) for byte in word.encode())
    assert steps[-1].next_merge is None
    for now, then in pairwise(steps):
        possible = {
            (RANKS[pair], place) for place, pair in enumerate(pairwise(now.tokens)) if pair in RANKS
        }
        assert set(now.candidates) == possible
        assert now.next_merge == min(possible)
        rank, place = now.next_merge
        left, right = TOKENIZER.merges[rank]
        assert then.tokens == (*now.tokens[:place], left + right, *now.tokens[place + 2 :])


def test_an_example_by_hand():
    """t h e e: th was learned before he, so h is gone when he would be due."""
    tokens = [*(bytes([byte]) for byte in range(256)), b"th", b"he", b"the"]
    merges = [(b"t", b"h"), (b"h", b"e"), (b"th", b"e")]
    tokenizer = BPETokenizer(dict(enumerate(tokens)), merges, {})
    steps = list(replay(b"thee", merge_ranks(tokenizer)))
    assert [step.tokens for step in steps] == [
        (b"t", b"h", b"e", b"e"),
        (b"th", b"e", b"e"),
        (b"the", b"e"),
    ]
    assert [step.candidates for step in steps] == [((0, 0), (1, 1)), ((2, 0),), ()]


def test_gpt2_agrees_with_its_own_encoder():
    tokenizer = BPETokenizer.from_gpt2(data_file("gpt2_vocab.json"), data_file("gpt2_merges.txt"))
    ranks = merge_ranks(tokenizer)
    for text in (" strawberry", "It's the last he painted, you know,", "naïve 🙂 theouterspace"):
        assert replayed_ids(tokenizer, ranks, text) == tokenizer.encode(text)


def test_words_are_those_of_the_pattern_and_special_tokens_stand_alone():
    found = list(words_of(TOKENIZER, "It's here<|endoftext|> now"))
    assert found == [
        ("It", False),
        ("'s", False),
        (" here", False),
        ("<|endoftext|>", True),
        (" now", False),
    ]
    with pytest.raises(TokenizerError, match="surrogate"):
        list(words_of(TOKENIZER, "\ud800"))
