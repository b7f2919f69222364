"""Tokenizer speed beside tiktoken, HF tokenizers and rustbpe, in one interleaved run.

``uv run --with tiktoken,tokenizers,rustbpe python -m benchmarks.tokenizer TEXT``, with
``--gpt2 VOCAB_JSON MERGES_TXT`` for GPT-2's vocabulary; without it, encoding uses one of 10,000
learned from the text. Peers that are not installed are left out. A large mixed text is made by
``python -m benchmarks.tokenizer_text``. ``LLM_EXPLAINER_NO_CORE=1`` measures NumPy alone.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from benchmarks.interleaved import Contestant, race
from benchmarks.tokenizer_contestants import TASKS
from llm_explainer.tokenizer import core_in_use

PACKAGES = {"tiktoken": "tiktoken", "hf": "tokenizers", "rustbpe": "rustbpe"}


def main() -> None:
    """Race at every task asked for, and print a line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="a UTF-8 file")
    parser.add_argument("--gpt2", nargs=2, default=[], help="vocab.json and merges.txt")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for each task")
    parser.add_argument("--vocab-size", type=int, default=10_000, help="of training")
    options = parser.parse_args()
    n_bytes = options.text.stat().st_size
    print(f"{n_bytes / 1e6:.1f} MB of text; ours is {'compiled' if core_in_use() else 'NumPy'}")
    for task in options.tasks:
        contestants = []
        for name in TASKS[task]:
            if name.startswith("ours") or importlib.util.find_spec(PACKAGES[name]):
                arguments = [task, name, str(options.text), str(options.vocab_size)]
                arguments += options.gpt2
                module = "benchmarks.tokenizer_contestants"
                contestants.append(Contestant(name, module, arguments))
        race(contestants, options.seconds)
        ours = contestants[0].median()
        for contestant in contestants:
            seconds = contestant.median()
            print(
                f"{task:16}{contestant.name:16}{seconds * 1e3:10.1f} ms"
                f"{n_bytes / seconds / 1e6:8.1f} MB/s   ours is {seconds / ours:5.2f} x as fast"
                f"   ({len(contestant.seconds)} runs, {contestant.dropped_slices} slices dropped)"
            )


if __name__ == "__main__":
    main()
