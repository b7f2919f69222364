"""The server's engine: a text alone beside ``generate``, and texts side by side beside one by one.

``uv run python -m benchmarks.serve --sizes small large``. Weights are random, with
logits as sharp as a trained model's. All do the same in
turns, round by round, so that whatever else the machine does hits all alike; a figure is the best
of the rounds. ``alone`` sends one text after the other through the engine, ``together`` as many
texts at once as ``--texts`` says, ``generate`` knows no engine. Then texts come in at random
moments, so many that the engine is busy ``--load`` of the time, and what they wait for their first
token is measured. ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer import ModelConfig, generate, load_backend
from llm_explainer.config import SIZES
from llm_explainer.generation import SamplingConfig
from llm_explainer.server.engine import Engine
from llm_explainer.server.requests import Completion, joined
from llm_explainer.tokenizer import CharTokenizer

NAME = "model"
LOGITS_SPREAD = 3.0  # their standard deviation, with which about 4 nats are left of 8


def main() -> None:
    """Measure every size asked for, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["small"])
    parser.add_argument("--family", choices=["gpt2", "llama"], default="gpt2")
    parser.add_argument("--backend", choices=["numpy", "mlx"], default="numpy")
    parser.add_argument("--texts", type=int, default=8, help="side by side")
    parser.add_argument("--prompt-length", type=int, default=20, help="in tokens")
    parser.add_argument("--tokens", type=int, default=100, help="to add to each text")
    parser.add_argument("--load", type=float, default=0.6, help="of what all together bear")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count processor time: others use the machine"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        rows.append({"size": size, "backend": options.backend, **measure(size, options)})
        print(described(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def measure(size: str, options: argparse.Namespace) -> dict[str, float]:
    """Return tokens per second of the three ways, and seconds to the first token under load."""
    config = ModelConfig.preset(size, family=options.family)
    model = sharpened(load_backend(options.backend).GPT(config))
    tokenizer = make_tokenizer(config.vocab_size)
    asked = [question(i, config, options) for i in range(options.texts)]
    engine = Engine({NAME: (model, tokenizer)}, max_batch=options.texts, prefix_bytes=0)
    few = asked[: max(1, options.texts // 4)]

    def run_generate() -> int:
        return sum(run_one(model, tokenizer, one) for one in few)

    def run_alone() -> int:
        return sum(len(joined(engine.submit(one, NAME)).ids) for one in few)

    def run_together() -> int:
        tickets = [engine.submit(one, NAME) for one in asked]
        return sum(len(joined(ticket).ids) for ticket in tickets)

    clock = time.process_time if options.cpu_time else time.perf_counter
    found = race([run_generate, run_alone, run_together], options.rounds, clock)
    names = ("generate_tokens_per_s", "alone_tokens_per_s", "together_tokens_per_s")
    figures = dict(zip(names, found, strict=True))
    texts_per_s = options.load * figures["together_tokens_per_s"] / options.tokens
    waits = first_token_seconds(engine, asked, texts_per_s)
    engine.close()
    return figures | {
        "first_token_s_median": statistics.median(waits),
        "first_token_s_p99": float(np.quantile(waits, 0.99)),
    }


def make_tokenizer(vocab_size: int) -> CharTokenizer:
    """Return one of so many ids, each a character: from ids to text costs as much as ever."""
    first = 0x20000  # behind it there are as many as any model has
    return CharTokenizer.train(["".join(chr(first + i) for i in range(vocab_size - 1))])


def sharpened(model: Any) -> Any:
    """Spread a model's logits as training does: of even ones, a sampler has many more to sort."""
    spread = float(np.asarray(model.next_logits(np.arange(20)[None])).std())
    model.final_norm.weight = model.final_norm.weight * (LOGITS_SPREAD / spread)
    return model


def question(index: int, config: ModelConfig, options: argparse.Namespace) -> Completion:
    """Return a request whose text goes on to the end."""
    rng = np.random.default_rng(index)
    prompt = rng.integers(0, config.vocab_size - 1, options.prompt_length)
    sampling = SamplingConfig(seed=index, max_tokens=options.tokens)
    return Completion(prompt_ids=tuple(prompt.tolist()), sampling=sampling)


def run_one(model: Any, tokenizer: Any, one: Completion) -> int:
    """Let ``generate`` answer; return the number of tokens."""
    options = {"seed": one.sampling.seed, "max_tokens": one.sampling.max_tokens}
    stream = generate(model, tokenizer, one.prompt_ids, **options)  # type: ignore[arg-type]
    for _ in stream:
        pass
    return len(stream.ids)


def race(
    ways: Sequence[Callable[[], int]], n_rounds: int, clock: Callable[[], float]
) -> list[float]:
    """Return each way's tokens per second, the best of rounds in which all take turns."""
    speeds: list[list[float]] = [[] for _ in ways]
    for round_ in range(n_rounds + 1):
        for way, found in zip(ways, speeds, strict=True):
            start = clock()
            n_tokens = way()
            if round_:  # the first is to warm up
                found.append(n_tokens / (clock() - start))
    return [max(found) for found in speeds]


def first_token_seconds(
    engine: Engine, asked: Sequence[Completion], texts_per_s: float, n_texts: int = 100
) -> list[float]:
    """Send texts at random moments, so many a second; return what each waited for its token."""
    rng = np.random.default_rng(0)
    waits, threads = [], []

    def wait(one: Completion) -> None:
        start = time.perf_counter()
        pieces = iter(engine.submit(one, NAME))
        next(pieces)
        waits.append(time.perf_counter() - start)
        for _ in pieces:
            pass

    for i in range(n_texts):
        threads.append(threading.Thread(target=wait, args=(asked[i % len(asked)],)))
        threads[-1].start()
        time.sleep(rng.exponential(1 / texts_per_s))
    for thread in threads:
        thread.join()
    return waits


def described(row: dict[str, Any]) -> str:
    """Return a row as a line for people."""
    generated, alone = row["generate_tokens_per_s"], row["alone_tokens_per_s"]
    together = row["together_tokens_per_s"]
    return (
        f"{row['size']}, {row['backend']}: generate {generated:,.0f} tokens/s; alone {alone:,.0f} "
        f"({alone / generated:.2f} of it); together {together:,.0f} ({together / alone:.1f} times "
        f"one by one); first token {1000 * row['first_token_s_median']:.0f} ms, 99 % within "
        f"{1000 * row['first_token_s_p99']:.0f} ms"
    )


if __name__ == "__main__":
    main()
