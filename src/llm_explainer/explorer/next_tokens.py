"""What may come next at each place: a few candidates, and what their scores hang on.

Attribution, the lens and ablation follow these tokens; the page lets a reader choose among them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from llm_explainer.explorer.content import Content
from llm_explainer.plain.contract import Array
from llm_explainer.tracing import Target, Trace, ablate, lens_logits
from llm_explainer.tracing.attribution import parts_of_scores
from llm_explainer.tracing.lens import stream_names
from llm_explainer.tracing.target import log_softmax

MOST_CANDIDATES = 6
LENS_TOP = 5


def candidates_of(trace: Trace, chosen: tuple[int, int] | None = None) -> Array:
    """Return (T, K) ids: what came next (last: the likeliest), then the likeliest of the others.

    ``chosen``, a place and a token, comes first at its place.
    """
    k = min(MOST_CANDIDATES, trace.config.vocab_size)
    rows = []
    for place, row in enumerate(np.argsort(-trace.logits, axis=-1, kind="stable")):  # (V,)
        first = [chosen[1]] if chosen and chosen[0] == place else []
        first += [int(i) for i in trace.ids[place + 1 : place + 2]]
        rows.append(list(dict.fromkeys([*first, *row[: k + 2].tolist()]))[:k])
    return np.array(rows)  # (T, K)


def put_scores(content: Content, trace: Trace, candidates: Array) -> None:
    """Put each candidate's score and probability."""
    scores = np.take_along_axis(trace.logits, candidates, -1)  # (T, K)
    content.put("next/tokens", candidates, "uint32")
    content.put("next/logits", scores, "float32")
    content.put("next/probabilities", np.take_along_axis(trace.probabilities, candidates, -1))


def put_lens(content: Content, trace: Trace, candidates: Array) -> None:
    """Put what the head reads in each state of the stream: the likeliest, and the candidates."""
    names = stream_names(trace, after_attention=True)
    top, of_top, of_candidates, ranks = [], [], [], []
    for name in names:
        logits = lens_logits(trace, name)  # (T, V)
        probabilities = np.exp(log_softmax(logits))
        likeliest = np.argsort(-logits, axis=-1, kind="stable")[:, :LENS_TOP]  # (T, 5)
        top.append(likeliest)
        of_top.append(np.take_along_axis(probabilities, likeliest, -1))
        of_candidates.append(np.take_along_axis(probabilities, candidates, -1))
        theirs = np.take_along_axis(logits, candidates, -1)  # (T, K)
        ranks.append((logits[:, None, :] > theirs[:, :, None]).sum(-1))
    content.facts["lens"] = list(names)
    content.put("lens/top", np.stack(top), "uint32")  # (R, T, 5)
    content.put("lens/probabilities", np.stack(of_top))
    content.put("lens/candidates", np.stack(of_candidates))  # (R, T, K)
    content.put("lens/ranks", np.stack(ranks), "uint32")


def put_attribution(content: Content, trace: Trace, candidates: Array) -> None:
    """Put the parts of each candidate's score, (T, K, parts)."""
    config = trace.config
    head = trace.parameters["token_embedding" if config.tie_embeddings else "head"]["weight"]
    values, names = [], []
    for place, tokens in enumerate(candidates):
        parts = parts_of_scores(trace, place)
        names = list(parts)
        values.append(head[tokens].astype(np.float64) @ np.stack(list(parts.values()), axis=1))
    content.facts["parts"] = names
    content.put("parts", np.stack(values), "float32")


@dataclass(frozen=True)
class _Scores(Target):
    """The scores of candidates (R, K) at the last R places, so that one pass measures them all."""

    candidates: Array = dataclasses.field(default_factory=lambda: np.zeros((1, 1), int))

    @property
    def rows(self) -> slice:
        return slice(-len(self.candidates), None)

    def values(self, logits: Array, ids: Array) -> Array:
        """Return (B, R, K) scores of (B, R, V)."""
        return np.take_along_axis(logits, self.candidates[None], -1)


def put_ablation(content: Content, trace: Trace, candidates: Array, places: int) -> None:
    """Put what the absence of each head and network adds to the scores at the last places.

    (L, n_heads + 1, places, K); the last row of a layer is its feed-forward network.
    """
    target = _Scores("logit", candidates=candidates[-places:])
    without = ablate(dataclasses.replace(trace, target=target))
    with_all = target.values(trace.logits[None, target.rows], trace.ids)[0]  # (R, K)
    effects = np.concatenate([without.heads, without.feed_forwards[:, None]], axis=1) - with_all
    content.put("ablation", effects, "float32")
