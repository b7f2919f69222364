"""Windows of tokens: what the model reads, and the same shifted by one, what it should have said.

A batch is a pure function of (seed, step): a resumed run sees the batches that it would have seen,
with no sampler state to save. Every function works on memory-mapped tokens as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llm_explainer.data.token_files import Tokens
from llm_explainer.errors import CorpusError

BLOCK = 1 << 22  # tokens that are searched together

Ids = NDArray[np.int64]
Windows = tuple[Ids, Ids]
"""Inputs and targets, both (B, T); ``targets[b, t]`` is the token that follows ``inputs[b, t]``."""


def random_windows(
    tokens: Tokens,
    batch_size: int,
    context_length: int,
    seed: int,
    step: int,
    *,
    starts: Ids | None = None,
) -> Windows:
    """Return the batch of a step: windows at random places, drawn with replacement.

    Args:
        tokens: ids (n,).
        batch_size: number of windows, B.
        context_length: tokens of a window, T.
        seed: which sequence of batches.
        step: which batch of it.
        starts: where windows may begin, see ``document_starts``; None is anywhere.

    Raises:
        CorpusError: fewer than T + 1 tokens.
    """
    _require_window(tokens, context_length)
    rng = np.random.default_rng([seed, step])
    if starts is None:
        chosen = rng.integers(len(tokens) - context_length, size=batch_size)  # (B,)
    else:
        chosen = starts[rng.integers(len(starts), size=batch_size)]  # (B,)
    return _gather(tokens, chosen, context_length)


def document_starts(tokens: Tokens, end_of_text: int, context_length: int) -> Ids:
    """Return where windows that begin with a document may start, for ``random_windows``.

    Short documents are learnt sooner so, because the model never has to guess what came before.
    Both the separator and the token after it are starts: the one is what an empty prompt looks
    like, the other a prompt in words. Tokens further than T from a start are never seen, so this
    suits documents that are shorter than a window or little longer.

    Raises:
        CorpusError: fewer than T + 1 tokens, or no separator among them.
    """
    _require_window(tokens, context_length)
    blocks = range(0, len(tokens), BLOCK)  # so that a file of any size takes little memory
    found = [at + np.flatnonzero(tokens[at : at + BLOCK] == end_of_text) for at in blocks]
    separators = np.concatenate(found)
    if not len(separators):
        raise CorpusError(
            f"no end-of-text token (id {end_of_text}) among {len(tokens):,} tokens; windows "
            f"aligned to documents take a corpus of several documents"
        )
    starts = np.unique(np.concatenate([[0], separators, separators + 1]))
    return starts[starts < len(tokens) - context_length]


def sliding_windows(
    tokens: Tokens, context_length: int, stride: int
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """Return all windows, ``stride`` tokens apart, as two views (N, T) that copy nothing.

    A stride of ``context_length`` uses every token once; a smaller one lets windows overlap. A last
    window that would not be full is left out. Example with T = 4 and stride 4::

        tokens:   40 367 2885 1464 1807 3619 402 271 10899
        inputs:   [40, 367, 2885, 1464]    [1807, 3619, 402, 271]
        targets:  [367, 2885, 1464, 1807]  [3619, 402, 271, 10899]

    Raises:
        CorpusError: fewer than T + 1 tokens, or a stride under 1.
    """
    _require_window(tokens, context_length)
    if stride < 1:
        raise CorpusError(f"stride is {stride}; it takes 1 or more")
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context_length + 1)[::stride]
    return windows[:, :-1], windows[:, 1:]  # of (N, T + 1)


def epoch_windows(
    tokens: Tokens, batch_size: int, context_length: int, stride: int, seed: int, step: int
) -> Windows:
    """Return the batch of a step when sliding windows are dealt in a new random order each epoch.

    An epoch has N // B steps; the windows left over come up in other epochs' orders. A batch is
    smaller than B only where there are fewer than B windows.

    Raises:
        CorpusError: fewer than T + 1 tokens, or a stride under 1.
    """
    inputs, _ = sliding_windows(tokens, context_length, stride)
    n_windows = len(inputs)
    steps_per_epoch = max(1, n_windows // batch_size)
    epoch, place = divmod(step, steps_per_epoch)
    order = _epoch_order(n_windows, seed, epoch)
    chosen = order[place * batch_size : (place + 1) * batch_size]  # (B,)
    return _gather(tokens, chosen * stride, context_length)


def evaluation_windows(
    tokens: Tokens,
    batch_size: int,
    context_length: int,
    *,
    max_windows: int | None = None,
    seed: int = 0,
    starts: Ids | None = None,
) -> Iterator[Windows]:
    """Yield batches that are the same at every evaluation.

    Without ``max_windows`` every token but the first is a target exactly once: windows stand end to
    end, and what is left over at the end comes as one shorter window (1, R). With it, at most that
    many full windows are taken, spread by a draw that depends on ``seed`` alone. With ``starts``
    (see ``document_starts``) windows begin there and nowhere else. Batches may differ in size, so
    a mean over them is weighted by their numbers of tokens.

    Raises:
        CorpusError: fewer than 2 tokens.
    """
    n_targets = len(tokens) - 1
    if n_targets < 1:
        raise CorpusError(f"the validation text has {len(tokens)} tokens; it takes 2 or more")
    n_windows, n_left = divmod(n_targets, context_length)
    if starts is None:
        chosen = np.arange(n_windows) * context_length
    else:
        chosen, n_left = starts, 0
    if max_windows is not None and max_windows < len(chosen):
        rng = np.random.default_rng(seed)
        chosen, n_left = np.sort(rng.choice(chosen, size=max_windows, replace=False)), 0
    for first in range(0, len(chosen), batch_size):
        yield _gather(tokens, chosen[first : first + batch_size], context_length)
    if n_left:
        yield _gather(tokens, np.array([n_windows * context_length]), n_left)


def _gather(tokens: Tokens, starts: Ids, context_length: int) -> Windows:
    """Copy the windows at ``starts`` (B,) out of the tokens, all at once."""
    places = starts[:, None] + np.arange(context_length + 1)  # (B, T + 1)
    windows = np.asarray(tokens)[places].astype(np.int64)  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


@lru_cache(maxsize=2)  # one order serves a whole epoch
def _epoch_order(n_windows: int, seed: int, epoch: int) -> Ids:
    return np.random.default_rng([seed, epoch]).permutation(n_windows)


def _require_window(tokens: Tokens, context_length: int) -> None:
    if len(tokens) <= context_length:
        raise CorpusError(
            f"the corpus has {len(tokens):,} tokens, but a window takes {context_length + 1:,} "
            f"(context_length {context_length:,} and the token to predict); use more text or a "
            f"context_length of {max(1, len(tokens) - 1):,} or less"
        )
