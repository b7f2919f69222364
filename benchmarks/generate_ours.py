"""Contestant: our decoding loop, greedy, on either backend.

Arguments: backend, checkpoint, texts at a time, length of their prompts, tokens of a step.
"""

from __future__ import annotations

import sys

from benchmarks.generate_prompts import prompts
from benchmarks.interleaved import serve
from llm_explainer.checkpoint import load_model
from llm_explainer.generation import SamplingConfig
from llm_explainer.generation.decoding import Decoder


def main() -> None:
    """Serve steps: each continues all prompts by so many tokens."""
    backend, directory = sys.argv[1:3]
    batch_size, prompt_length, n_tokens = map(int, sys.argv[3:6])
    model = load_model(directory, backend)
    rows = prompts(batch_size, prompt_length, model.config.vocab_size).tolist()
    sampling = SamplingConfig(temperature=0.0, max_tokens=n_tokens)

    def step() -> None:
        decoder = Decoder(model, rows, sampling)
        while decoder.step():
            pass

    serve(step)


if __name__ == "__main__":
    main()
