"""What the two kinds of byte-pair encoding share: words are merged, and what is fast about that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.base import TokenArray, token_dtype
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.fast import choice
from llm_explainer.tokenizer.fast.decoding import FastDecoder
from llm_explainer.tokenizer.fast.encoding import FastEncoder
from llm_explainer.tokenizer.files.tokenizer_json import require_own_ids
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable.dressing import Dressing
from llm_explainer.tokenizer.readable.merging import merge_word
from llm_explainer.tokenizer.readable.naive import Pair
from llm_explainer.tokenizer.readable.special_tokens import AllowedSpecial, TokenFlags
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.symbols import Symbols


class MergingTokenizer(PatternTokenizer):
    """A vocabulary and merges; a subclass says what words begin with.

    Args:
        vocab: the bytes of every ordinary id.
        merges: pairs of tokens in the order of learning.
        special_tokens: names and ids beside those of ``vocab``.
        pattern: see ``Splitter``.
        ignore_merges: a word that is a token as a whole becomes that token.
        keeps_gaps: what the pattern leaves out is a word of its own; otherwise it is refused.
        prefix: ids of special tokens that a file puts before every text.
        flags: of special tokens, where they have any.
        dressing: what is done to a text before it is cut into words.

    Raises:
        TokenizerError: parts that do not fit together.
    """

    vocab: dict[int, bytes]

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Mapping[str, int],
        pattern: str | Sequence[str],
        *,
        ignore_merges: bool,
        keeps_gaps: bool,
        prefix: Sequence[int],
        flags: Mapping[str, TokenFlags] | None,
        dressing: Dressing,
    ) -> None:
        self.flags, self.dressing = dict(flags or {}), dressing
        splitter = Splitter(
            pattern, special_tokens, keeps_gaps=keeps_gaps, flags=self.flags, dressing=dressing
        )
        super().__init__(splitter, special_tokens)
        self.pattern, self.keeps_gaps, self.prefix = pattern, keeps_gaps, tuple(prefix)
        self.merges = list(merges)
        self.ignore_merges = ignore_merges
        special = {i: splitter.sought(name).encode() for name, i in special_tokens.items()}
        self.vocab = {**vocab, **special}
        require_own_ids([*vocab, *special_tokens.values()])
        self._ids = self._ids_of_tokens(vocab)
        self.symbols = self._symbols(vocab)
        self._ranks: dict[Pair, int] = {}
        self._merged: list[int] = []  # the id that each merge makes
        for left, right in self.merges:
            self._append_merge(left, right)
        self._whole_words = self._ids if ignore_merges else {}

    @abstractmethod
    def _ids_of_tokens(self, vocab: Mapping[int, bytes]) -> dict[bytes, int]:
        """Return the id of every token that merges may join or make.

        Raises:
            TokenizerError: tokens that cannot be.
        """

    @abstractmethod
    def _symbols(self, vocab: Mapping[int, bytes]) -> Symbols:
        """Return what words begin with.

        Raises:
            TokenizerError: a vocabulary that cannot encode everything.
        """

    def _append_merge(self, left: bytes, right: bytes) -> None:
        for token in (left, right, left + right):
            if token not in self._ids:
                raise TokenizerError(f"a merge has {shorten(token)}, which has no id")
        pair = self._ids[left], self._ids[right]
        if pair in self._ranks:
            raise TokenizerError(
                f"the merge of {shorten(left)} and {shorten(right)} is there twice"
            )
        self._ranks[pair] = len(self._merged)
        self._merged.append(self._ids[left + right])

    def ordinary_vocab(self) -> dict[int, bytes]:
        """Return the vocabulary without the special tokens."""
        special_ids = set(self.special_tokens.values())
        return {i: token for i, token in self.vocab.items() if i not in special_ids}

    def tokens_not_merged(self) -> dict[bytes, int]:
        """Return the tokens that their bytes, merged, do not become: most often there are none.

        Only where there are some does ``ignore_merges`` change anything.
        """
        return {
            token: token_id
            for token, token_id in self._ids.items()
            if self._merged_ids(token) != [token_id]
        }

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """Return the ids of a text; see ``PatternTokenizer.encode``, which says it plainly."""
        if isinstance(text, str) and choice.is_encoded_readably(text):
            return super().encode(text, allowed_special=allowed_special)
        ids: list[int] = self._fast_encoder.encode(text, allowed_special).tolist()
        return ids

    def encode_array(self, text: str, *, allowed_special: AllowedSpecial = "all") -> TokenArray:
        """Return the ids of a text as an array (n_ids,); see ``PatternTokenizer.encode_array``."""
        ids = self._fast_encoder.encode(text, allowed_special)
        return ids.astype(token_dtype(self.vocab_size))

    def encode_iterable(self, blocks: Iterable[str]) -> Iterator[int]:
        """Yield the ids of blocks of text; see ``PatternTokenizer.encode_iterable``."""
        for ids in self._fast_encoder.stream(blocks):
            yield from ids.tolist()

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the UTF-8 bytes of the ids; see ``PatternTokenizer.decode_bytes``."""
        if isinstance(ids, Iterator):
            ids = list(ids)
        data = self._fast_decoder.decode(ids)
        return super().decode_bytes(ids) if data is None else data  # which says what is wrong

    @cached_property
    def _fast_encoder(self) -> FastEncoder:
        return FastEncoder(
            self._splitter,
            self._ranks,
            self._merged,
            self.symbols,
            self.special_tokens,
            self._whole_words,
        )

    @cached_property
    def _fast_decoder(self) -> FastDecoder:
        return choice.decoder(self.vocab)

    @property
    def _words_bear_cuts(self) -> bool:
        return choice.has_rules(self.pattern)

    def _word_ids(self, word: str) -> list[int]:
        data = word.encode()
        whole = self._whole_words.get(data)
        return self._merged_ids(data) if whole is None else [whole]

    def _merged_ids(self, word: bytes) -> list[int]:
        return merge_word(self.symbols.of(word), self._ranks, self._merged)

    def _token_bytes(self, token_id: int, first: bool) -> bytes:
        try:
            return self.vocab[token_id]
        except (KeyError, TypeError):
            raise self._unknown_id(token_id) from None
