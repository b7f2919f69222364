"""Character and word tokenizers: the book's figures, and nothing dropped in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_cases import SAMPLE, data_file, texts

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import CharTokenizer, WordTokenizer

CHARACTERS = CharTokenizer.train([SAMPLE])
WORDS = WordTokenizer.train([SAMPLE])


def test_characters_are_numbered_by_code_point_and_special_tokens_come_last() -> None:
    tokenizer = CharTokenizer.train(["hello\n"])
    assert tokenizer.vocab == {0: "\n", 1: "e", 2: "h", 3: "l", 4: "o", 5: "<|endoftext|>"}
    assert tokenizer.end_of_text == 5
    assert tokenizer.encode("hole<|endoftext|>\n") == [2, 4, 3, 1, 5, 0]


def test_shakespeares_characters() -> None:
    tokenizer = CharTokenizer.train(data_file("tinyshakespeare.txt"), special_tokens=[])
    assert tokenizer.vocab_size == 65
    assert tokenizer.end_of_text is None


@given(text=texts)
def test_characters_round_trip(text: str) -> None:
    tokenizer = CharTokenizer.train(
        [*text, "."]
    )  # one by one, so that none hides in a special token
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text


def test_an_unknown_character_is_named_or_becomes_unk() -> None:
    with pytest.raises(TokenizerError, match="character 'é' is not in the vocabulary of 4"):
        CharTokenizer.train(["abc"]).encode("abécd")
    tokenizer = CharTokenizer.train(["abc"], special_tokens=["<|unk|>"])
    assert tokenizer.encode("acé") == [0, 2, 3]
    assert tokenizer.decode([0, 2, 3]) == "ac<|unk|>"


def test_figures_of_the_verdict() -> None:
    text = data_file("the-verdict.txt")
    tokenizer = WordTokenizer.train(text, special_tokens=[])
    ids = tokenizer.encode(text.read_text(encoding="utf-8"))
    assert len(ids) == 4649
    assert tokenizer.vocab_size == 1159
    tokenizer = WordTokenizer.train(text)
    assert tokenizer.vocab_size == 1161
    assert tokenizer.special_tokens == {"<|endoftext|>": 1159, "<|unk|>": 1160}
    sentence = "Hello, do you like tea? <|endoftext|> In the sunlit terraces of the palace."
    ids = tokenizer.encode(sentence)
    assert ids[0] == ids[-2] == 1160  # neither Hello nor palace occurs in the story
    assert tokenizer.decode(ids) == (
        "<|unk|>, do you like tea? <|endoftext|> In the sunlit terraces of the <|unk|>."
    )


def test_signs_are_words_of_their_own() -> None:
    tokenizer = WordTokenizer.train(['"Well, I_don\'t--know!" (good-night: a;b) - --- x.?'])
    tokens = [tokenizer.vocab[i] for i in tokenizer.encode('"Well, I_don\'t--know!" --- (x.?')]
    assert tokens == [
        *('"', "Well", ",", "I", "_", "don", "'", "t", "--", "know", "!", '"'),
        *("--", "-", "(", "x", ".", "?"),
    ]
    tokens = [tokenizer.vocab[i] for i in tokenizer.encode("good-night: a;b -")]
    assert tokens == ["good-night:", "a;b", "-"]


def test_the_most_frequent_words_are_kept() -> None:
    tokenizer = WordTokenizer.train(["d d d c c b a"], 5)
    assert tokenizer.vocab == {0: "a", 1: "c", 2: "d", 3: "<|endoftext|>", 4: "<|unk|>"}
    assert tokenizer.encode("c b <|endoftext|> d") == [1, 4, 3, 2]


def test_without_unk_an_unknown_word_is_named() -> None:
    tokenizer = WordTokenizer.train(["a b"], special_tokens=["<|endoftext|>"])
    with pytest.raises(TokenizerError, match="word 'xyz' is not in the vocabulary of 3"):
        tokenizer.encode("a xyz b")


@given(text=texts)
def test_what_words_decode_to_encodes_to_the_same_words(text: str) -> None:
    tokenizer = WordTokenizer.train([text + " x"])
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


@pytest.mark.parametrize("tokenizer", [CHARACTERS, WORDS], ids=["characters", "words"])
@given(data=st.data())
def test_streaming_equals_decoding(
    tokenizer: CharTokenizer | WordTokenizer, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20))
    decoder = tokenizer.stream_decoder()
    for _ in range(2):  # a decoder that has finished begins anew
        pieces = [decoder.push(token) for token in ids]
        assert "".join(pieces) + decoder.finish() == tokenizer.decode(ids)
