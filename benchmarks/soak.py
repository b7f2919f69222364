"""A service under all kinds of requests for long: does it keep what nobody needs any more?

``uv run python -m benchmarks.soak --minutes 20``. Eight clients ask a service in a process of its
own without a pause: completions and chats, streamed or not, of a model and of its adapter, scored
texts, tokens, explanations, and wrong requests; every fourth leaves at a random moment. The model
is a small one of random weights, or the RUN given. What is asked is decided by ``--seed``.

The memory of earlier prompts is filled first: until it is full it grows, as it should. Then the
process's memory is noted every two seconds. The first half is to warm up, in which what fills the
memory is replaced by what was asked; it is level where its median in the last quarter is within 2 %
of that in the third. All four are written down. In the end, with all clients gone, the engine has
to be empty, each text accounted for, no traceback written, no socket left, and SIGTERM has to end
it in order. Exit status 1 if anything of this fails.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.service_client import Heard, Service, ask, serving
from benchmarks.soak_requests import WRONG, Wanted, filling, make_model, some_request

CLIENTS, SAMPLE_S = 8, 2.0
MOST_DRIFT = 0.02
OWN_SOCKETS = 3  # one listens, two wake the loop from other threads
SETTLE_S = 0.3
EMPTY_S = 30.0  # until the engine has heard of all who left


class Load:
    """Clients that ask without a pause, and what they were told."""

    def __init__(self, service: Service, models: list[str], seed: int) -> None:
        self.service, self.models = service, models
        self.statuses: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, args=(random.Random(f"{seed} {i}"),))
            for i in range(CLIENTS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, rng: random.Random) -> None:
        while not self._ends.is_set():
            wanted = some_request(rng, self.models)
            try:
                heard = ask(
                    self.service.url, wanted.path, wanted.body, leave_after=wanted.leave_after
                )
            except Exception as error:
                self.unexpected.append(f"{wanted.kind}: {error!r}")
                self._ends.wait(1)
                continue
            self._judge(wanted, heard)

    def _judge(self, wanted: Wanted, heard: Heard) -> None:
        self.statuses[f"{wanted.kind} {heard.status or 'left'}"] += 1
        is_right = heard.status == 0 or (400 <= heard.status < 500) == (wanted.kind == WRONG)
        if not is_right or heard.status >= 500:
            self.unexpected.append(f"{wanted.kind} {heard.status}: {heard.text[:200]}")


def main() -> int:
    """Run the soak; return 0 where all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a model; by default a random one")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write figures and samples there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, arguments = (options.run, []) if options.run else make_model(folder)
        with serving(run, arguments, folder) as service:
            figures = soak(service, options.minutes, options.seed)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    failures = described(figures)
    print("\n".join(failures) or "all is well")
    return 1 if failures else 0


def soak(service: Service, minutes: float, seed: int) -> dict[str, Any]:
    """Put a service under load, and return what became of it."""
    listed = json.loads(ask(service.url, "/v1/models").text)["data"]
    models = [each["id"] for each in listed]
    fill(service, seed, models[0], listed[0]["max_model_len"] - 1)
    samples = []
    with Load(service, models, seed) as load:
        start = time.monotonic()
        while (now := time.monotonic() - start) < 60 * minutes:
            figures = service.metrics()
            samples.append(
                {"s": now, **service.memory(), "prefix_mb": figures["prefix_bytes"] / 1e6}
            )
            time.sleep(SAMPLE_S)
    left = wait_until_empty(service)
    connections = service.connections()
    return {
        "drift": drift([sample["rss"] for sample in samples]),
        "heap_drift": drift([sample["heap"] for sample in samples]),
        "statuses": dict(sorted(load.statuses.items())),
        "unexpected": load.unexpected,
        "left": left,
        "connections": connections,
        "exit_status": service.drain(),
        "log": service.log,
        "samples": samples,
    }


def fill(service: Service, seed: int, model: str, length: int) -> None:
    """Fill the memory of earlier prompts: until more of them make it no larger."""
    kept = -1.0
    for count, body in enumerate(filling(seed, model, length)):
        ask(service.url, "/v1/completions", body)
        if count % 10 == 9:
            before, kept = kept, service.metrics()["prefix_bytes"]
            if kept <= before:
                return


def wait_until_empty(service: Service) -> dict[str, float]:
    """Return the engine's figures when nobody is there any more, or as they are after a while."""
    deadline = time.monotonic() + EMPTY_S
    while True:
        figures = service.metrics()
        time.sleep(SETTLE_S)  # in which the connection of these figures ends
        is_busy = figures["running"] or figures["waiting"] or service.connections() > OWN_SOCKETS
        if not is_busy or time.monotonic() > deadline:
            return figures


def drift(values: list[float]) -> float:
    """Return how far the median of the last quarter is from that of the third, as a share."""
    third, last = quarters(values)[2:]
    return last / third - 1


def quarters(values: list[float]) -> list[float]:
    """Return the median of each quarter."""
    n = len(values) // 4
    return [statistics.median(values[i * n : (i + 1) * n]) for i in range(4)]


def described(figures: dict[str, Any]) -> list[str]:
    """Print a soak's figures; return what was wrong, a line each."""
    samples, left = figures["samples"], figures["left"]
    rss = [sample["rss"] for sample in samples]
    print(f"{sum(figures['statuses'].values()):,} requests: {figures['statuses']}")
    medians = ", ".join(f"{each:.1f}" for each in quarters(rss))
    print(
        f"memory {min(rss):.1f} to {max(rss):.1f} MB, by quarters {medians}; "
        f"in the last {figures['drift']:+.2%} beside the third "
        f"(heap {figures['heap_drift']:+.2%}); of earlier prompts "
        f"{samples[0]['prefix_mb']:.1f} MB, then {samples[-1]['prefix_mb']:.1f}"
    )
    accounted = left["finished_total"] + left["cancelled_total"] + left["failed_total"]
    print(
        f"texts: {left['submitted_total']:.0f} taken, {left['finished_total']:.0f} finished, "
        f"{left['cancelled_total']:.0f} cancelled, {left['failed_total']:.0f} failed; "
        f"{figures['connections']} sockets in the end"
    )
    checks = {
        f"memory drifts by {figures['drift']:+.2%}": abs(figures["drift"]) > MOST_DRIFT,
        "the engine is not empty": left["running"] or left["waiting"],
        "a text was lost or failed": accounted != left["submitted_total"] or left["failed_total"],
        "there was a traceback": "Traceback" in figures["log"],
        f"it ended with status {figures['exit_status']}": figures["exit_status"] != 0,
        "connections are left": figures["connections"] > OWN_SOCKETS,
        f"unexpected: {figures['unexpected'][:5]}": bool(figures["unexpected"]),
    }
    return [text for text, is_wrong in checks.items() if is_wrong]


if __name__ == "__main__":
    sys.exit(main())
