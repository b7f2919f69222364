"""Steps of other people's tokenizers: ids and text as Hugging Face's tokenizers gave them.

The goldens are of ``tests/tokenizer_campaign.py``, which compares 100,000 strings each by hand.
"""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from tokenizer_cases import either_way, use

from llm_explainer.errors import LLMExplainerWarning, TokenizerError
from llm_explainer.generation.healing import split_prompt
from llm_explainer.tokenizer import BPETokenizer, ByteFallbackTokenizer, tokenizer_from_gguf
from llm_explainer.tokenizer.loading import tokenizer_from_json
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable.normalization import nfc
from llm_explainer.tokenizer.readable.patterns import PATTERNS, compile_pattern
from tests.foreign_layouts import added, tokenizer_files
from tests.tokenizer_campaign import GOLDEN
from tests.tokenizer_layouts import layouts, smollm_layout

STORED = json.loads(GOLDEN.read_text(encoding="utf-8"))
FILES = layouts(STORED["model"])
PREPEND = FILES["prepend"]


@either_way
@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore:the tokenizer has no token for the byte")
def test_ids_and_text_are_those_of_tokenizers(name: str, with_core: bool, tmp_path: Any) -> None:
    with use(with_core):
        tokenizer = tokenizer_from_json(FILES[name])
        again = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301 - as a file, and back
        for text, ids, decoded in STORED["results"][name]:
            assert tokenizer.encode_array(text).tolist() == ids
            assert PatternTokenizer.encode(tokenizer, text) == ids
            assert again.encode(text) == ids
            middle = len(text) // 2
            assert list(tokenizer.encode_iterable([text[:middle], text[middle:]])) == ids
            decoder = tokenizer.stream_decoder()
            assert "".join(map(decoder.push, ids)) + decoder.finish() == decoded
            assert tokenizer.decode(ids) == decoded
        text = "".join(text for text, *_ in STORED["results"][name])
        (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="")
        tokenizer.encode_file(tmp_path / "text.txt", tmp_path / "ids.npy", workers=1)
        import numpy as np

        assert np.load(tmp_path / "ids.npy").tolist() == tokenizer.encode(text)
        assert tokenizer_from_json(json.loads(again.to_json())).to_json() == again.to_json()


def test_digits_before_gpt2s_pattern_are_one_pattern() -> None:
    both, named = compile_pattern((r"\p{N}", "gpt2")), compile_pattern("smollm")
    for text in ("a  1 b", "  12 's1s", "\n 1", "x\t\t", "½² ٣", "1 \n\na"):
        assert both.findall(text) == named.findall(text)
        assert [match.end() for match in both.finditer(text)] == [
            match.end() for match in named.finditer(text)
        ]
    assert tokenizer_from_json(smollm_layout()).pattern == "smollm"
    files = tokenizer_files()
    assert tokenizer_from_json(files["llama 3"]).pattern == "llama3"
    assert tokenizer_from_json(files["qwen 3"]).pattern == "qwen"
    for name in ("llama3", "qwen", "smollm"):  # as it was read, so it is written
        saved = json.loads(BPETokenizer.train(["ab"], 257, pattern=name).to_json())
        assert tokenizer_from_json(saved).pattern == name
        assert PATTERNS[name] in json.dumps(saved).encode().decode("unicode_escape") or (
            saved["pre_tokenizer"]["pretokenizers"][0]["type"] == "Digits"
        )


def test_characters_that_came_later_are_left_as_they_are() -> None:
    assert nfc("e\u0301 \u212b") == "\u00e9 \u00c5"
    assert nfc("a\u1ac1\u0334e\u0301") == "a\u1ac1\u0334\u00e9"  # U+1AC1 is of Unicode 14
    assert nfc("\U00011935\U00011930") == "\U00011935\U00011930"  # composed in Unicode 13


def test_bytes_without_a_token_are_left_out_with_a_word() -> None:
    tokenizer = tokenizer_from_json(FILES["smollm"])
    with pytest.warns(LLMExplainerWarning, match="no token for the byte 0x04"):
        assert tokenizer.encode("!\x04!!") == tokenizer.encode("!!!")
    with pytest.warns(LLMExplainerWarning, match="no token"):
        assert split_prompt(tokenizer, "a !\x04", begins=True)[1] is None
    needed = copy.deepcopy(FILES["smollm"])
    del needed["model"]["vocab"]["Ċ"]
    with pytest.raises(TokenizerError, match="byte 0x0a has no id"):
        tokenizer_from_json(needed)


def test_healing_where_words_begin_with_a_space_of_their_own() -> None:
    tokenizer = tokenizer_from_json(PREPEND)
    assert split_prompt(tokenizer, "th", begins=True)[1] is None
    ids, healing = split_prompt(tokenizer, "the th", begins=True)
    assert healing is not None
    assert (ids, healing.word) == (tokenizer.encode("the"), " th")


def test_half_a_character_of_byte_tokens_is_kept_back() -> None:
    tokenizer = tokenizer_from_json(PREPEND)
    decoder = tokenizer.stream_decoder()
    pieces = [decoder.push(token) for token in tokenizer.encode("🙂")]
    assert pieces == ["", "", "", "", "🙂"]  # the space that all texts get, and four bytes


def changed(document: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**copy.deepcopy(document), **parts}


def model_of(document: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return changed(document, model={**document["model"], **parts})


STEP = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
VOCAB = PREPEND["model"]["vocab"]
REFUSED = {
    "a step before": (changed(PREPEND, pre_tokenizer={"type": "Digits"}), "pre_tokenizer is"),
    "another sign": (
        changed(PREPEND, normalizer=None, pre_tokenizer={**STEP, "replacement": "_"}),
        "replacement of Metaspace is '_'",
    ),
    "another scheme": (
        changed(PREPEND, normalizer=None, pre_tokenizer={**STEP, "prepend_scheme": ["always"]}),
        "prepend_scheme of Metaspace is",
    ),
    "the form of old": (
        changed(PREPEND, normalizer=None, pre_tokenizer={"type": "Metaspace"}),
        "pre_tokenizer is .* not followed for byte fallback",
    ),
    "another normalizer": (changed(PREPEND, normalizer={"type": "NFKC"}), "normalizer is"),
    "no byte fallback": (model_of(PREPEND, byte_fallback=False), "byte_fallback is False"),
    "words taken whole": (model_of(PREPEND, ignore_merges=True), "ignore_merges of byte fallback"),
    "a byte missing": (
        model_of(PREPEND, vocab={k: v for k, v in VOCAB.items() if k != "<0x0A>"}),
        "token <0x0A> is missing",
    ),
    "no space": (
        model_of(PREPEND, vocab={k: v for k, v in VOCAB.items() if k != "▁"}, merges=[]),
        "the space has no token",
    ),
    "a space as it is": (model_of(PREPEND, vocab={**VOCAB, "a b": 999}), "'a b' has a space"),
    "a merge of bytes": (model_of(PREPEND, merges=["<0x41> a"]), "a merge has b'<0x41>'"),
    "an added byte": (
        changed(PREPEND, added_tokens=[added("<0xZZ>", 1), added("<0x0A>", 13)]),
        "'<0x0A>' would be decoded as other text",
    ),
    "a decoder with more": (
        changed(PREPEND, decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}]}),
        "decoder is",
    ),
    "a text that is none": (model_of(PREPEND, unk_token="\ud800"), "lone surrogate"),
    "a token that is no text": (model_of(PREPEND, vocab={**VOCAB, "\ud800": 999}), "surrogate"),
    "a type that is none": (
        changed(
            smollm_layout(),
            pre_tokenizer={
                "type": "Sequence",
                "pretokenizers": [{"type": {}}, smollm_layout()["pre_tokenizer"]],
            },
        ),
        "pre_tokenizer is",
    ),
    "digits by a number": (
        changed(smollm_layout(), pre_tokenizer={"type": "Digits", "individual_digits": 1}),
        r"pre_tokenizer is \['Digits'\]",
    ),
    "names that become one": (
        changed(
            tokenizer_files()["qwen 3"],
            added_tokens=[
                added("e\u0301中", 275, normalized=True),
                added("\u00e9中", 276, normalized=True),
            ],
        ),
        "are the same when normalized",
    ),
}


@pytest.mark.parametrize(("document", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_followed_is_refused_in_a_line(document: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as error:
        tokenizer_from_json(document)
    assert "\n" not in str(error.value)


def metadata(**changes: Any) -> dict[str, Any]:
    """Return a GGUF's metadata for the small SmolLM file."""
    document = smollm_layout()
    vocab = document["model"]["vocab"]
    values = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": sorted(vocab, key=vocab.__getitem__),
        "merges": document["model"]["merges"],
        "token_type": [3 if token.startswith("<|") else 1 for token in vocab],
        "bos_token_id": 0,
        "eos_token_id": 0,
        **changes,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


def test_a_ggufs_metadata_give_the_same_tokenizer() -> None:
    tokenizer, expected = tokenizer_from_gguf(metadata()), tokenizer_from_json(smollm_layout())
    text = "the 123<|endoftext|>\n\n it's"
    assert tokenizer.encode(text) == expected.encode(text)
    assert (tokenizer.roles.begin, tokenizer.roles.ends, tokenizer.prefix) == (0, (0,), ())
    llama = tokenizer_from_gguf(metadata(pre="llama-bpe"))
    assert isinstance(llama, BPETokenizer)
    assert (llama.pattern, llama.ignore_merges, llama.prefix) == ("llama3", True, (0,))
    qwen = tokenizer_from_gguf(metadata(pre="qwen2", add_bos_token=False))
    assert isinstance(qwen, BPETokenizer)
    assert (qwen.pattern, qwen.dressing.composes) == ("qwen", True)
    assert not isinstance(qwen, ByteFallbackTokenizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre": "dbrx"}, "pre is 'dbrx', a split that is not known here"),
        ({"pre": None}, "pre is None; a text"),
        ({"model": "llama"}, "model is 'llama'; only gpt2"),
        ({"tokens": ["a", 5]}, "tokens is .* a list of str is due"),
        ({"tokens": "abc"}, "tokens is 'abc'"),
        ({"token_type": [1]}, "token_type has 1 entries for 275 tokens"),
        ({"token_type": [6] * 275}, "is of type 6"),
        ({"merges": ["t"]}, "merge 't' is not a pair"),
        ({"bos_token_id": -1}, "bos_token_id is -1; ids are 0 to 274"),
        ({"eos_token_id": "2"}, "eos_token_id is '2'; a whole number"),
        ({"bos_token_id": 5, "add_bos_token": True}, "bos_token_id is 5; .* no control token"),
        ({"add_bos_token": 1}, "add_bos_token is 1; true or false"),
        ({"add_eos_token": True}, "tokens behind a text"),
    ],
)
def test_what_a_gguf_may_not_say(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as error:
        tokenizer_from_gguf(metadata(**changes))
    assert "\n" not in str(error.value)
