"""Byte-level byte-pair encoding: any text becomes ids and comes back exactly as it was."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Self, get_args

from llm_explainer.errors import TokenizerError
from llm_explainer.progress import Progress
from llm_explainer.tokenizer.base import END_OF_TEXT
from llm_explainer.tokenizer.checks import require_whole, shorten
from llm_explainer.tokenizer.fast import choice
from llm_explainer.tokenizer.fast.counting import count_word_bytes
from llm_explainer.tokenizer.files.bpe_json import (
    BPEParts,
    bpe_from_json,
    bpe_to_json,
    is_token_text,
)
from llm_explainer.tokenizer.files.gpt2_files import read_gpt2_files
from llm_explainer.tokenizer.files.tiktoken_files import read_tiktoken_file
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject
from llm_explainer.tokenizer.files.training_texts import Source, read_texts
from llm_explainer.tokenizer.merging_tokenizer import MergingTokenizer
from llm_explainer.tokenizer.readable.dressing import Dressing
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.symbols import NO_ID, Symbols
from llm_explainer.tokenizer.readable.training import Ties

_USUAL_BYTES = b"\t\n\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0xC0))
_USUAL_BYTES += bytes(range(0xC2, 0xF1))  # that begin characters, but for those of F1 to F4


class BPETokenizer(MergingTokenizer):
    """Byte-level BPE as GPT-2 has it (Radford et al. 2019, section 2.2).

    Text is cut into words, a word is its UTF-8 bytes, and learned merges join neighbours into ever
    longer tokens. Every byte is a token too, so there is nothing that it cannot encode.

    Args:
        vocab: the bytes of every ordinary id; all 256 single bytes must be among them.
        merges: pairs of tokens in the order of learning.
        special_tokens: names and ids beside those of ``vocab``.
        pattern: a name such as "gpt2" or "llama3", or a regular expression that matches the words,
            or several of them, each of which cuts what the one before it made.
        ignore_merges: a word that is a token as a whole becomes that token, also where the merges
            would not make it (as Llama 3's files want it).
        keeps_gaps: what the pattern leaves out is a word of its own; otherwise it is refused.
        prefix: ids of special tokens that a file puts before every text. ``encode`` leaves them
            out, as software does that is asked for no special tokens; a prompt begins with them.
        flags: of special tokens, where they have any.
        composes: texts are normalized first (NFC); what comes back is the normalized text.
        lacks_bytes: control characters, and bytes that begin rare characters or none, need not
            have a token; a text loses those that have none, with a warning.

    Raises:
        TokenizerError: parts that do not fit together.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Mapping[str, int],
        pattern: str | Sequence[str] = "gpt2",
        ignore_merges: bool = False,
        *,
        keeps_gaps: bool = True,
        prefix: Sequence[int] = (),
        flags: Mapping[str, TokenFlags] | None = None,
        composes: bool = False,
        lacks_bytes: bool = False,
    ) -> None:
        self._lacks_bytes = lacks_bytes
        super().__init__(
            vocab,
            merges,
            special_tokens,
            pattern,
            ignore_merges=ignore_merges,
            keeps_gaps=keeps_gaps,
            prefix=prefix,
            flags=flags,
            dressing=Dressing(composes),
        )

    def _ids_of_tokens(self, vocab: Mapping[int, bytes]) -> dict[bytes, int]:
        ids: dict[bytes, int] = {}
        for token_id, token in vocab.items():
            if token in ids or not token:
                raise TokenizerError(f"token {shorten(token)} is empty or has two ids")
            ids[token] = token_id
        for name in self.special_tokens:
            if is_token_text(name, ids):
                raise TokenizerError(f"special token {shorten(name)} is an ordinary token as well")
        return ids

    def _symbols(self, vocab: Mapping[int, bytes]) -> Symbols:
        symbols = Symbols([self._ids.get(bytes([byte]), NO_ID) for byte in range(256)])
        needed = symbols.missing
        if self._lacks_bytes:
            needed = bytes(byte for byte in needed if byte in _USUAL_BYTES)
        if needed:
            raise TokenizerError(f"byte 0x{needed[0]:02x} has no id; all 256 bytes must have one")
        return symbols

    @classmethod
    def train(
        cls,
        source: Source,
        vocab_size: int,
        *,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        pattern: str = "gpt2",
        min_frequency: int = 2,
        ties: Ties = "greatest-bytes",
        workers: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """Learn a vocabulary of at most ``vocab_size`` tokens.

        Ids: the 256 bytes in their order, then the merges, the special tokens last. There are fewer
        tokens than asked for where the text has no more pairs to offer.

        Args:
            source: a path, a list of paths, or texts; each stands for itself.
            vocab_size: with the 256 bytes and the special tokens in it.
            special_tokens: names that are one token each, and that no merge reaches across.
            pattern: "gpt2", "gpt4", or a regular expression that matches the words.
            min_frequency: merge no pair that occurs less often than this.
            ties: which of equally frequent pairs goes first; see ``learn_merges``.
            workers: processes that count words.
            progress: called with a stage, what is done and what there is (0 where not known).

        Raises:
            TokenizerError: a size too small, an empty text, or anything else that cannot work.
        """
        splitter = Splitter(pattern, special_tokens)
        n_special = len(splitter.special_tokens)
        require_whole("vocab_size", vocab_size, 256 + n_special, f"256 bytes + {n_special} special")
        require_whole("min_frequency", min_frequency, 1)
        require_whole("workers", workers, 1)
        if ties not in get_args(Ties):
            raise TokenizerError(f"ties is {ties!r}; choose one of {', '.join(get_args(Ties))}")
        n_merges = vocab_size - 256 - n_special
        words = count_word_bytes(read_texts(source), splitter, workers=workers, progress=progress)
        pairs = choice.learn_merges(
            words, n_merges, min_frequency=min_frequency, ties=ties, progress=progress
        )
        tokens = [bytes([byte]) for byte in range(256)]
        for left, right in pairs:
            tokens.append(tokens[left] + tokens[right])
        return cls(
            dict(enumerate(tokens)),
            [(tokens[left], tokens[right]) for left, right in pairs],
            {name: len(tokens) + i for i, name in enumerate(splitter.special_tokens)},
            pattern,
        )

    @classmethod
    def from_gpt2(
        cls,
        vocab_json: str | os.PathLike[str],
        merges_txt: str | os.PathLike[str],
        *,
        special_tokens: Sequence[str] | Mapping[str, int] = (END_OF_TEXT,),
    ) -> Self:
        """Read GPT-2's two files.

        Args:
            vocab_json: ``vocab.json``, also known as ``encoder.json``.
            merges_txt: ``merges.txt``, also known as ``vocab.bpe``.
            special_tokens: which tokens of the vocabulary are special, or names and ids; the files
                do not say.

        Raises:
            TokenizerError: files that are missing or damaged, or do not belong together.
        """
        parts = read_gpt2_files(vocab_json, merges_txt, special_tokens)
        try:
            return cls._from_parts(parts)
        except TokenizerError as error:
            raise TokenizerError(f"{vocab_json} and {merges_txt}: {error}") from None

    @classmethod
    def from_tiktoken(
        cls,
        path: str | os.PathLike[str],
        *,
        pattern: str = "gpt4",
        special_tokens: Sequence[str] | Mapping[str, int] = (END_OF_TEXT,),
    ) -> Self:
        """Read a rank file of tiktoken; the ids are those that tiktoken gives.

        Args:
            path: of the ``.tiktoken`` file.
            pattern: "gpt2", "gpt4", or a regular expression; the file does not say which it is for.
            special_tokens: names, whose ids follow on the ranks, or names and their ids.

        Raises:
            TokenizerError: a file that is missing or damaged, or special tokens that do not fit.
        """
        try:
            return cls._from_parts(read_tiktoken_file(path, pattern, special_tokens))
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """Build the tokenizer from a ``tokenizer.json`` of the byte-level BPE kind.

        Raises:
            TokenizerError: another kind, settings that would change the ids, or damage.
        """
        return cls._from_parts(bpe_from_json(content))

    @classmethod
    def _from_parts(cls, parts: BPEParts) -> Self:
        return cls(**vars(parts))  # whose fields are the arguments

    def to_json(self) -> bytes:
        """Return the content of the ``tokenizer.json``."""
        return bpe_to_json(
            BPEParts(
                self.ordinary_vocab(),
                self.merges,
                self.special_tokens,
                self.pattern,
                self.ignore_merges,
                self.keeps_gaps,
                self.prefix,
                self.flags,
                self.dressing.composes,
                self._lacks_bytes,
            )
        )
