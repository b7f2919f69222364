"""Records as tokens: what is trained goes by position, and what is kept is what was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_explainer.data.records import (
    EncodedRecord,
    Pair,
    Passage,
    Records,
    encode_record,
    encode_records,
    open_records,
    story_records,
    template_of,
    write_records,
)
from llm_explainer.data.stories import StoryQuestion
from llm_explainer.errors import CorpusError
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer
from llm_explainer.tokenizer.roles import TokenRoles
from llm_explainer.training.exact_match import last_line, last_questions

BYTES = BPETokenizer.train(["ab"], 257)  # the 256 bytes, and <|endoftext|>
END = 256


def shown(record: EncodedRecord) -> str:
    """Return a record of bytes with what is trained in capitals and the end token as a dot."""
    letters = ["." if token == END else chr(token) for token in record.ids.tolist()]
    pairs = zip(letters, record.trained.tolist(), strict=True)
    return "".join(letter.upper().replace(".", "!") if on else letter for letter, on in pairs)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Pair("who? ", "pip"), "who? PIP!"),
        (Pair("who?", " pip"), "who? PIP!"),
        (Pair("", "pip"), ".PIP!"),
        (Passage("pip"), ".PIP!"),
        (Passage(""), ""),
        (Pair("who?", ""), "who?"),
    ],
)
def test_the_answer_and_the_end_are_trained(record: Pair | Passage, expected: str) -> None:
    assert shown(encode_record(record, BYTES)) == expected


def test_an_end_token_in_a_prompt_is_not_trained_and_one_in_an_answer_is() -> None:
    record = encode_record(Pair("a<|endoftext|>b", "c<|endoftext|>d"), BYTES)
    assert shown(record) == "a.bC!D!"


def test_answers_end_as_the_tokenizer_s_texts_do() -> None:
    tokenizer = BPETokenizer.train(["ab"], 258, special_tokens=("<|endoftext|>", "</s>"))
    tokenizer.roles = TokenRoles.ending_with(257)
    assert encode_record(Pair("a", "b"), tokenizer).ids.tolist() == [97, 98, 257]
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert template_of(tokenizer).render(turns) == "User: a\nAssistant: b</s>"
    record = EncodedRecord(np.array([257, 97, 10, 98, 257]), np.arange(5) > 2)
    [question] = last_questions([record], tokenizer.roles.ends, 1)
    assert question.answer == (98,)
    assert last_line(question, tokenizer) == "a"


def test_an_answer_is_encoded_for_itself_as_after_a_prompt() -> None:
    merging = BPETokenizer.train(["abab abab"], 300)
    assert len(merging.encode("abab")) == 1
    record = encode_record(Pair("ab", "ab"), merging)
    assert record.ids.tolist() == [*merging.encode("ab") * 2, merging.end_of_text]


def test_records_that_are_too_long_lose_their_beginning_or_are_refused() -> None:
    pair = Pair("0123456789", "abc", "line 7")
    kept, counts = encode_records([pair, Pair("x", "y")], BYTES, context_length=6)
    assert [shown(record) for record in kept] == ["789ABC!", "xY!"]
    assert (counts.records, counts.cut, counts.tokens, counts.trained) == (2, 1, 10, 6)
    assert counts.trained_share == 0.6
    whole, counts = encode_records([pair], BYTES, context_length=13)
    assert (shown(whole[0]), counts.cut) == ("0123456789ABC!", 0)
    with pytest.raises(CorpusError, match=r"line 7 has 14 tokens, and the context takes 7"):
        encode_records([pair], BYTES, context_length=6, long="refuse")


@pytest.mark.parametrize("context_length", [2, 3])
@pytest.mark.parametrize("prompt", ["0", "0123"])
def test_an_answer_longer_than_the_context_is_refused(context_length: int, prompt: str) -> None:
    with pytest.raises(CorpusError, match="line 7 has an answer that does not fit"):
        encode_records([Pair(prompt, "abc", "line 7")], BYTES, context_length)


def test_a_text_longer_than_the_context_keeps_its_end() -> None:
    for record in (Passage("abcdef"), Pair("", "abcdef")):
        kept, counts = encode_records([record], BYTES, context_length=3)
        assert (shown(kept[0]), counts.cut) == ("DEF!", 1)


def test_a_record_without_a_target_is_left_out_and_counted() -> None:
    kept, counts = encode_records([Pair("a", ""), Passage(""), Pair("a", "b")], BYTES, 8)
    assert (len(kept), counts.records, counts.without_target) == (1, 1, 2)
    with pytest.raises(CorpusError, match="none of 2 records has anything to learn"):
        encode_records([Pair("a", ""), Passage("")], BYTES, 8)
    with pytest.raises(CorpusError, match="there are no records"):
        encode_records([], BYTES, 8)


def test_what_a_tokenizer_cannot_take_is_refused_by_name() -> None:
    characters = CharTokenizer.train(["abc"])
    with pytest.raises(CorpusError, match=r"line 3: .*'z'"):
        encode_record(Pair("a", "z", "line 3"), characters)
    without_end = CharTokenizer.train(["abc"], special_tokens=())
    with pytest.raises(CorpusError, match="no token that ends a text"):
        encode_record(Pair("a", "b"), without_end)


def test_records_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    questions = [StoryQuestion("It was Pip.", "Who?", "Pip", "who")] * 3
    encoded, _ = encode_records([*story_records(questions), Passage("end")], BYTES, 99)
    write_records(tmp_path, "train", encoded)
    records = open_records(tmp_path, "train")
    assert len(records) == 4
    assert records.lengths.tolist() == [len(record.ids) for record in encoded]
    for there, here in zip(records, encoded, strict=True):
        assert shown(there) == shown(here)
    assert shown(Records.of(encoded)[3]) == ".END!"
    with pytest.raises(IndexError):
        records[4]


@pytest.mark.parametrize("part", ["ids", "trained", "starts"])
def test_damaged_files_of_records_are_refused(tmp_path: Path, part: str) -> None:
    encoded, _ = encode_records([Passage("abc"), Passage("de")], BYTES, 99)
    write_records(tmp_path, "train", encoded)
    path = tmp_path / f"train-{part}.npy"
    good = np.load(path)
    damages = [good[:-1], good.astype(np.float32), good[None], good[:0]]
    if part == "starts":
        damages += [good + 1, good[[0, 0, 2]], good[:1]]
    for bad in damages:
        np.save(path, bad)
        with pytest.raises(CorpusError, match=r"train-\*.npy in .* do not belong together"):
            open_records(tmp_path, "train")
    path.write_bytes(b"\x93NUMPY\x01\x00garbage")
    with pytest.raises(CorpusError, match=f"train-{part}.npy is damaged"):
        open_records(tmp_path, "train")
    path.unlink()
    with pytest.raises(CorpusError, match=f"no file .*train-{part}.npy"):
        open_records(tmp_path, "train")
    with pytest.raises(CorpusError, match="there are no records"):
        write_records(tmp_path, "train", [])
    with pytest.raises(CorpusError, match="cannot write"):
        write_records(tmp_path / "missing", "train", encoded)
