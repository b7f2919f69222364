"""Prompts that end anywhere, measured on a trained model: does half a word go on as the whole one?

By hand, with a run of ``quick`` (`tests/test_healing.py` holds the mechanism without one)::

    uv run python -m tests.measured_healing runs/quick

Of 200 sentences of stories that the model has not learned from every prefix is a prompt. Where
the model goes on from the words before with the sentence's own word, it should from every part of
that word too; and whatever comes, the text begins with the prompt's bytes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from llm_explainer import load_checkpoint
from llm_explainer.data import load_corpus
from llm_explainer.generation.sampling_config import SamplingConfig
from llm_explainer.generation.streaming import Generation
from llm_explainer.tokenizer.readable.splitting import Splitter

N_SENTENCES = 200
GREEDY = SamplingConfig(temperature=0, max_tokens=8)
NOT_HEALED = SamplingConfig(temperature=0, max_tokens=8, heal=False)


def sentences() -> list[str]:
    """Return a sentence of each of so many held-out stories: of one the first, then the second."""
    found: dict[str, None] = {}
    for place, block in enumerate(load_corpus("stories", max_bytes=2_000_000).validation.blocks()):
        of_story = re.findall(r"\w[^.!?]*[.!?]", block.text)
        found[of_story[place % len(of_story)]] = None
        if len(found) == N_SENTENCES:
            break
    return list(found)


def whole_text(model: Any, tokenizer: Any, prompt: str, *, heal: bool = True) -> str:
    """Return the prompt and what follows, from the ids that the model really saw and wrote."""
    stream = Generation(model, tokenizer, prompt, GREEDY if heal else NOT_HEALED)
    for _ in stream:
        pass
    return str(tokenizer.decode(stream.prompt_ids + stream.ids))


def run(path: str) -> int:
    """Count; return 1 where fewer than 95 % heal or a text does not begin with its prompt."""
    model, tokenizer = load_checkpoint(Path(path))
    splitter = Splitter(tokenizer.pattern)
    n = dict.fromkeys(("prefixes", "begin with the prompt", "asked", "healed", "unhealed"), 0)
    for sentence in sentences():
        start = 0
        for word in splitter.words(sentence):
            before, wanted = sentence[:start], sentence[: start + len(word)]
            knows = start > 0 and whole_text(model, tokenizer, before).startswith(wanted)
            for end in range(start + 1, start + len(word)):
                prompt = sentence[:end]
                text = whole_text(model, tokenizer, prompt)
                n["prefixes"] += 1
                n["begin with the prompt"] += text.encode().startswith(prompt.encode())
                if knows:
                    n["asked"] += 1
                    n["healed"] += text.startswith(wanted)
                    plain = whole_text(model, tokenizer, prompt, heal=False)
                    n["unhealed"] += plain.startswith(wanted)
            start += len(word)
    sys.stdout.write(f"{n}\n")
    return int(n["healed"] < 0.95 * n["asked"] or n["begin with the prompt"] < n["prefixes"])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
