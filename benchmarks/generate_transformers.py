"""Contestant: transformers on PyTorch, greedy, with its key-value cache.

Arguments: "generate" for ``model.generate`` or "loop" for the tightest loop around the model, then
checkpoint, texts at a time, length of their prompts, tokens of a step.
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM

from benchmarks.generate_prompts import prompts
from benchmarks.interleaved import serve


def main() -> None:
    """Serve steps: each continues all prompts by so many tokens."""
    kind, directory = sys.argv[1:3]
    batch_size, prompt_length, n_tokens = map(int, sys.argv[3:6])
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    start = torch.from_numpy(prompts(batch_size, prompt_length, model.config.vocab_size))

    @torch.inference_mode()
    def generate() -> None:
        model.generate(
            start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=n_tokens,
            min_new_tokens=n_tokens,  # an end of text would end it early
            do_sample=False,
            pad_token_id=0,
        )

    @torch.inference_mode()
    def loop() -> None:
        tokens, cache = start, None
        for _ in range(n_tokens):
            # Scores of the last position only, as ``generate`` asks for too.
            output = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            tokens = output.logits[:, -1].argmax(-1, keepdim=True)  # (B, 1)

    serve(generate if kind == "generate" else loop)


if __name__ == "__main__":
    main()
