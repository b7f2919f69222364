"""Damaged tokenizer files: each refused in one line that names the file and the fault."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizer_cases import one_of_each_kind

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer, load_tokenizer

KINDS = one_of_each_kind()
BPE = KINDS["bpe"]


def edited(edit: Callable[[dict[str, Any]], object], kind: str = "bpe") -> bytes:
    document = json.loads(KINDS[kind].to_json())
    edit(document)
    return json.dumps(document).encode()


def set_model(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["model"].update(values)


def set_vocab(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["model"]["vocab"].update(values)


def like_roberta(document: dict[str, Any]) -> None:
    """Make the file one as RoBERTa has it: a token that takes the blank before it."""
    mask = {**document["added_tokens"][0], "content": "<mask>", "id": 300, "lstrip": True}
    document["added_tokens"].append(mask)
    document["model"]["vocab"]["<mask>"] = 300
    document["post_processor"] = {"type": "RobertaProcessing", "add_prefix_space": False}


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not valid JSON"),
    "cut off": (BPE.to_json()[:2000], "is not valid JSON .* it may be cut off"),
    "not UTF-8": (b'{"model": "\xff"}', "is not UTF-8"),
    "UTF-16": ("{}".encode("utf-16"), "is not UTF-8"),
    "a pickle": (b"\x80\x04\x95\x00.", "is not UTF-8"),
    "a list": (b"[]", r"holds \[\]; a JSON object is expected"),
    "nothing in it": (b"{}", "model is None"),
    "deep": (b"[" * 100_000, "is nested too deeply"),
    "a number too long": (b"1" * 10_000, "is not valid JSON"),
    "model a list": (edited(lambda d: d.update(model=[])), r"model is \[\]"),
    "another kind of model": (edited(set_model(type="Unigram")), "model.type is 'Unigram'"),
    "no merges": (edited(set_model(merges=None)), "model.merges is None; a list"),
    "a merge of three": (edited(set_model(merges=[["a", "b", "c"]])), "not a pair of tokens"),
    "a merge of numbers": (edited(set_model(merges=[[1, 2]])), "a part of a merge is 1"),
    "a merge without an id": (edited(set_model(merges=["z q"])), "a merge has b'zq', which has"),
    "a merge twice": (
        edited(lambda d: d["model"]["merges"].append(d["model"]["merges"][0])),
        "is there twice",
    ),
    "no vocabulary": (edited(set_model(vocab=[1])), r"model.vocab is \[1\]; an object"),
    "an id of text": (edited(set_vocab(a="97")), "the id of token 'a' is '97'; a whole number"),
    "an id true": (edited(set_vocab(a=True)), "the id of token 'a' is True"),
    "an id too large": (edited(set_vocab(a=10**30)), "id 10{30} is none; ids are 0 to"),
    "a negative id": (edited(set_vocab(a=-1)), "id -1 is none"),
    "an id twice": (edited(set_vocab(a=98)), "id 98 is there twice"),
    "a byte missing": (edited(lambda d: d["model"]["vocab"].pop("a")), "byte 0x61 has no id"),
    "a byte under another name": (
        edited(lambda d: d["model"]["vocab"].update(aaaa=d["model"]["vocab"].pop("a"))),
        "byte 0x61 has no id|which has no id",
    ),
    "not byte-level": (edited(set_vocab(**{"▁the": 300})), "'▁', which stands for no byte"),
    "a normalizer": (
        edited(lambda d: d.update(normalizer={"type": "NFKC"})),
        "type of normalizer is 'NFKC'; only \"NFC\"",
    ),
    "RoBERTa's": (edited(like_roberta), "type of post_processor is 'RobertaProcessing'"),
    "merges half ignored": (edited(set_model(ignore_merges=1)), "model.ignore_merges is 1; only"),
    "dropout": (edited(set_model(dropout=0.1)), "model.dropout is 0.1"),
    "a suffix": (edited(set_model(end_of_word_suffix="</w>")), "end_of_word_suffix is '</w>'"),
    "no split": (edited(lambda d: d.update(pre_tokenizer=None)), "pre_tokenizer is None"),
    "another split": (
        edited(lambda d: d.update(pre_tokenizer={"type": "Whitespace"})),
        r"pre_tokenizer is \['Whitespace'\]",
    ),
    "a space put before": (
        edited(lambda d: d["pre_tokenizer"].update(add_prefix_space=True)),
        "add_prefix_space is True; only false",
    ),
    "a number for false": (
        edited(lambda d: d["pre_tokenizer"].update(add_prefix_space=0)),
        "add_prefix_space is 0; only false",
    ),
    "no pattern": (
        edited(lambda d: d["pre_tokenizer"].update(use_regex=False)),
        "use_regex of ByteLevel is False; only true",
    ),
    "steps that are numbers": (
        edited(lambda d: d.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [1, 2]})),
        "a step of pre_tokenizer is 1",
    ),
    "added tokens an object": (edited(lambda d: d.update(added_tokens={})), "added_tokens is"),
    "an added token of text": (edited(lambda d: d.update(added_tokens=["x"])), "an added token is"),
    "an added token without id": (
        edited(lambda d: d["added_tokens"][0].pop("id")),
        r"the id of '<\|endoftext\|>' is None",
    ),
    "an added token that strips": (
        edited(lambda d: d["added_tokens"][0].update(lstrip=1)),
        r"lstrip of '<\|endoftext\|>' is 1; only false or true",
    ),
    "an added token twice": (
        edited(lambda d: d["added_tokens"].append(d["added_tokens"][0])),
        "is listed twice",
    ),
    "an added token with two ids": (
        edited(lambda d: d["added_tokens"][0].update(id=5)),
        "has the ids 5 and 299",
    ),
    "an empty added token": (
        edited(lambda d: d["added_tokens"][0].update(content="")),
        "special token '' is not a name|id 299",
    ),
    "a character of two": (
        edited(set_vocab(ab=47), "characters"),
        "token 'ab' is not one character",
    ),
    "a surrogate": (
        edited(set_vocab(**{"\ud800": 47}), "characters"),
        "has a lone surrogate U[+]D800",
    ),
    "a word with a space": (
        edited(set_vocab(**{"a b": 38}), "words"),
        "token 'a b' is not one word",
    ),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_damaged_file_is_refused_in_one_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message) as error:
        load_tokenizer(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 300


def test_a_missing_file_a_folder_and_a_huge_file(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"none\.json: cannot be read: No such file"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(TokenizerError, match="cannot be read: Is a directory"):
        BPETokenizer.load(tmp_path)
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate((1 << 27) + 1)  # a sparse file
    with pytest.raises(TokenizerError, match="is larger than"):
        load_tokenizer(tmp_path / "huge.json")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    KINDS["words"].save(path)
    with pytest.raises(TokenizerError, match=r"model\.type is 'WordLevel'; only"):
        BPETokenizer.load(path)
    with pytest.raises(TokenizerError, match="pattern of Split"):
        CharTokenizer.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_is_refused_or_harmless(kind: str, tmp_path: Path) -> None:
    rng = random.Random(11)
    whole = KINDS[kind].to_json()
    path = tmp_path / "tokenizer.json"
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(damaged))
            damaged[start : start + rng.randint(0, 40)] = rng.choice(
                [b"", rng.randbytes(3), b'"', b"null", b"{", b"]", b"9"]
            )
        path.write_bytes(damaged)
        try:
            load_tokenizer(path).encode("The theme")
        except TokenizerError as error:
            refused += "\n" not in str(error)
    assert refused > 100


def test_gpt2_files_that_do_not_belong_together(tmp_path: Path) -> None:
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocab.write_text(json.dumps(json.loads(BPE.to_json())["model"]["vocab"]), encoding="utf-8")
    merges.write_text("#version: 0.2\nĠ t\nt h\n", encoding="utf-8")
    assert BPETokenizer.from_gpt2(vocab, merges).merges == [(b" ", b"t"), (b"t", b"h")]
    for content, message in [
        (b"q z\n", "a merge has b'qz', which has no id"),
        (b"a b c\n", r"merges\.txt: merge 'a b c' is not a pair"),
        (b"\xff\n", r"merges\.txt"),
    ]:
        merges.write_bytes(content)
        with pytest.raises(TokenizerError, match=message):
            BPETokenizer.from_gpt2(vocab, merges)
    with pytest.raises(TokenizerError, match=r"merges\.txt|none\.txt"):
        BPETokenizer.from_gpt2(vocab, tmp_path / "none.txt")
    with pytest.raises(TokenizerError, match=r"vocab\.json: has no special token '<\|x\|>'"):
        BPETokenizer.from_gpt2(vocab, merges, special_tokens=["<|x|>"])
    vocab.write_text("[]", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"vocab\.json: holds \[\]; a JSON object"):
        BPETokenizer.from_gpt2(vocab, merges)
