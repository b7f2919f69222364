"""Our service beside other servers on the same model, eight clients at once.

``uv run python -m benchmarks.serve_peers RUN --beside NAME MODEL COMMAND ...``. A peer is a command
that serves the model at ``{port}``, which is filled in, and answers ``POST /v1/completions`` as
OpenAI does; MODEL is what requests call it. For example, after ``run_demo.py export RUN --to mlx``:

    --beside mlx-lm default_model "mlx_lm.server --model exports/run-mlx --port {port}"

All run from the beginning, and are asked in turn, round by round, by the same clients: each asks
for a text, greedily, and for the next when that is there. Rounds in which other programs used more
than a tenth of a processor are dropped, unless ``--contended`` counts them, for all alike. A
server's figure is the median of its rounds; first tokens are taken together. Tokens are counted by
our tokenizer, of the text that came.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import SETTLE_S, busy_seconds, own_seconds
from benchmarks.service_client import START_S, Heard, ask, serving

AT_ONCE, TEXTS = 8, 16  # of a round
OURS = "llm-explainer"
CONTENDED = 0.1  # of a processor
BEGINNINGS = ("Once there was", "One day", "In a little house", "The fox said", "She saw")


@dataclass
class Server:
    """Who is asked, and what was measured, each round's and each text's."""

    name: str
    model: str
    url: str
    pid: int
    tokens_per_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    dropped: int = 0


def main() -> None:
    """Ask all servers in turn, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--beside", nargs=3, action="append", default=[], metavar=("NAME", "MODEL", "COMMAND")
    )
    parser.add_argument("--tokens", type=int, default=64, help="of each text, at most")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--contended", action="store_true", help="drop no round")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(serving(options.run, ["--name", OURS], folder))
        servers = [Server(OURS, OURS, ours.url, ours.process.pid)]
        servers += [stack.enter_context(peer(*each, folder)) for each in options.beside]
        figures = race(servers, options)
    for row in figures:
        print(
            f"{row['name']}: {row['tokens_per_s']:,.0f} tokens/s, first token "
            f"{row['first_ms']:.0f} ms, 99 % {row['first_p99_ms']:.0f} ms; "
            f"{row['rounds']} rounds, {row['dropped']} dropped"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


@contextmanager
def peer(name: str, model: str, command: str, folder: Path) -> Iterator[Server]:
    """Start another server, and wait until it answers.

    Raises:
        RuntimeError: it did not.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("{port}", str(port)) for word in shlex.split(command)]
    log = folder / f"{name}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(words, stdout=written, stderr=written, env={**os.environ})
    server = Server(name, model, f"http://127.0.0.1:{port}", process.pid)
    try:
        deadline = time.monotonic() + START_S
        while not answers(server):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield server
    finally:
        process.kill()
        process.wait()


def answers(server: Server) -> bool:
    """Return whether a server gives a text."""
    try:
        return bool(ask(server.url, "/v1/completions", request(server, 0, 2)).seconds)
    except OSError:
        return False


def request(server: Server, seed: int, max_tokens: int) -> dict[str, Any]:
    """Return what every server is asked in the same words."""
    prompt = random.Random(seed).choice(BEGINNINGS) + " a" * (seed % 7)
    return {
        "model": server.model,
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
    }


def race(servers: list[Server], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Ask the servers in turn until the time is over; return each one's figures, ours first.

    Raises:
        SystemExit: every round of one was contended.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for server in servers:
            run_round(server, pool, options.tokens)  # to warm up
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            for server in servers:
                heard, seconds, others = run_round(server, pool, options.tokens)
                if not options.contended and others > CONTENDED * seconds + 0.02:
                    server.dropped += 1
                    continue
                n_tokens = sum(count(each, servers[0]) for each in heard)
                server.tokens_per_s.append(n_tokens / seconds)
                server.first_s += [each.seconds[0] for each in heard]
    for server in servers:
        if not server.tokens_per_s:
            raise SystemExit(f"{server.name}: every round was contended; or take --contended")
    return [
        {
            "name": server.name,
            "tokens_per_s": statistics.median(server.tokens_per_s),
            "first_ms": 1e3 * statistics.median(server.first_s),
            "first_p99_ms": 1e3 * float(np.quantile(server.first_s, 0.99)),
            "rounds": len(server.tokens_per_s),
            "dropped": server.dropped,
        }
        for server in servers
    ]


def run_round(
    server: Server, pool: ThreadPoolExecutor, max_tokens: int
) -> tuple[list[Heard], float, float]:
    """Ask for some texts, so many at once.

    Returns:
        them, the seconds that they took, and the processor seconds of other programs.
    """

    def one(seed: int) -> Heard:
        return ask(server.url, "/v1/completions", request(server, seed, max_tokens))

    time.sleep(SETTLE_S)
    busy, own = busy_seconds(), own_seconds(os.getpid())  # the servers are all of this family
    start = time.perf_counter()
    heard = list(pool.map(one, range(TEXTS)))
    seconds = time.perf_counter() - start
    return heard, seconds, busy_seconds() - busy - (own_seconds(os.getpid()) - own)


def count(heard: Heard, ours: Server) -> int:
    """Return the number of tokens of a stream's text, which our service knows."""
    lines = heard.text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    text = "".join(choice.get("text") or "" for each in events for choice in each["choices"])
    answer = ask(ours.url, "/tokenize", {"model": ours.model, "prompt": text}).text
    return int(json.loads(answer)["count"])


if __name__ == "__main__":
    main()
