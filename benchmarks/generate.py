"""Generation speed beside transformers and mlx-lm, in one interleaved run.

``uv run --with torch,transformers python -m benchmarks.generate --sizes small gpt2-small``, and
``--backend mlx`` with ``--with mlx-lm``. Every contestant loads the same checkpoint, of random
weights in float32, and continues the same prompts greedily. Prompts have one token unless
``--prompt-length`` says otherwise, so that all is decoding. Peers that are not installed are left
out. ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import bandwidth
from benchmarks.interleaved import Contestant, in_checkout, race
from llm_explainer import ModelConfig, load_backend, save_checkpoint
from llm_explainer.config import SIZES

STEP_S = 0.4
"""A step continues the prompts by as many tokens as take about this long, but at most 100."""


def main() -> None:
    """Race at every size and batch asked for, and print a line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["small"])
    parser.add_argument("--family", choices=["gpt2", "llama"], default="gpt2")
    parser.add_argument("--backend", choices=["numpy", "mlx"], default="numpy")
    parser.add_argument("--batch", nargs="+", type=int, default=[1], help="texts at a time")
    parser.add_argument("--prompt-length", nargs="+", type=int, default=[1], help="in tokens")
    parser.add_argument(
        "--other-checkout",
        type=Path,
        metavar="FOLDER",
        help="ours takes part a second time, as another checkout has it",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="for each line-up")
    parser.add_argument(
        "--contended", action="store_true", help="count slices that others disturbed, too"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        config = ModelConfig.preset(size, family=options.family)
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / size
            save_checkpoint(directory, load_backend("numpy").GPT(config), None)
            for batch_size in options.batch:
                for prompt_length in options.prompt_length:
                    print(f"{size}, {options.family}, batch {batch_size}, prompt {prompt_length}")
                    line_up = contestants(
                        options.backend, directory, batch_size, prompt_length, config
                    )
                    if options.other_checkout:
                        line_up.insert(1, in_checkout(line_up[0], options.other_checkout))
                    race(line_up, options.seconds, options.contended)
                    found = figures(line_up, config, batch_size)
                    for row in found:
                        print("  " + row.pop("line"))
                        rows.append({"size": size, "prompt": prompt_length, **row})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def contestants(
    backend: str, directory: Path, batch_size: int, prompt_length: int, config: ModelConfig
) -> list[Contestant]:
    """Return ours, the peers that are installed, and on NumPy what measures the memory."""
    arguments = [str(directory), str(batch_size), str(prompt_length)]
    arguments.append(str(tokens_of_a_step(config, prompt_length)))
    found = [Contestant(f"ours, {backend}", "benchmarks.generate_ours", [backend, *arguments])]
    if backend == "mlx" and importlib.util.find_spec("mlx_lm") and batch_size == 1:
        found.append(Contestant("mlx-lm", "benchmarks.generate_mlx_lm", arguments))
    if backend == "numpy" and importlib.util.find_spec("transformers"):
        for kind in ("generate", "loop"):
            name, module = f"transformers, {kind}", "benchmarks.generate_transformers"
            found.append(Contestant(name, module, [kind, *arguments]))
    if backend == "numpy":
        found.append(Contestant("memory", "benchmarks.bandwidth", []))
    return found


def tokens_of_a_step(config: ModelConfig, prompt_length: int) -> int:
    """Return how many tokens a step adds, from the model's size: a guess is good enough."""
    n_tokens = int(STEP_S / (0.5e-3 + 0.2e-9 * config.count_parameters()))
    return max(1, min(n_tokens, 100, config.context_length - prompt_length))


def figures(
    line_up: list[Contestant], config: ModelConfig, batch_size: int
) -> list[dict[str, Any]]:
    """Return a dict for each contestant, with a line to print."""
    rows: list[dict[str, Any]] = []
    n_tokens = {c.name: int(c.arguments[-1]) for c in line_up if c.arguments}
    ours = line_up[0].median() / n_tokens[line_up[0].name]
    for contestant in line_up:
        row: dict[str, Any] = {"name": contestant.name, "batch": batch_size}
        if contestant.name == "memory":
            limit = bandwidth.N_BYTES / contestant.median()  # bytes/s
            share = weight_bytes(config) / ours / limit
            row |= {"bytes_per_s": limit, "share_of_limit": share}
            text = f"{limit / 1e9:8.1f} GB/s; ours reads its weights at {share:.0%} of it"
        else:
            seconds = contestant.median() / n_tokens[contestant.name]
            row |= {"tokens_per_s": batch_size / seconds, "ours_is": seconds / ours}
            text = f"{seconds * 1e3:8.2f} ms a token{batch_size / seconds:10,.0f} tokens/s"
            text += f"   ours is {seconds / ours:5.2f} x as fast"
        counts = f"{len(contestant.seconds)} runs, {contestant.dropped_slices} slices dropped"
        row["line"] = f"{contestant.name:24}{text}   ({counts})"
        rows.append(row)
    return rows


def weight_bytes(config: ModelConfig) -> int:
    """Return the bytes of float32 weights that a token's products read."""
    looked_up = config.context_length * config.d_model if config.position == "learned" else 0
    if not config.tie_embeddings:
        looked_up += config.vocab_size * config.d_model
    return 4 * (config.count_parameters() - looked_up)


if __name__ == "__main__":
    main()
