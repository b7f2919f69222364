"""A service in a process of its own, and who asks it, for the benchmarks of serving.

Whoever answers in OpenAI's way can be asked: ours, and the servers it is measured beside.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

START_S, END_S, ANSWER_S = 120.0, 60.0, 120.0


@dataclass
class Heard:
    """What came back.

    Attributes:
        status: of the answer; 0 for who left before there was one.
        seconds: from the request on, of each event of a stream in which there was text.
        text: the body; of a stream its events, one a line.
        end: seconds from the request to the answer's end.
    """

    status: int = 0
    seconds: list[float] = field(default_factory=list)
    text: str = ""
    end: float = 0.0


def ask(
    url: str,
    path: str,
    body: dict[str, Any] | bytes | None = None,
    *,
    leave_after: float | None = None,
    leave_at: int | None = None,
) -> Heard:
    """Ask a service, and hear it out; or leave, so many seconds or events after having asked.

    Raises:
        OSError: nobody answers there.
        http.client.HTTPException: the answer broke off.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {} if data is None else {"Content-Type": "application/json"}
    heard, start = Heard(), time.perf_counter()
    try:
        method = "GET" if data is None else "POST"
        connection.request(method, f"{parts.path.rstrip('/')}{path}", data, headers)
        if leave_after is not None:
            time.sleep(leave_after)
            return heard
        answer = connection.getresponse()
        heard.status = answer.status
        lines = []
        for line in answer:
            if line.startswith(b"data: {") and _has_text(json.loads(line[6:])):
                heard.seconds.append(time.perf_counter() - start)
            lines.append(line)
            if leave_at is not None and len(heard.seconds) >= leave_at:
                break
        heard.text = b"".join(lines).decode()
        heard.end = time.perf_counter() - start
    finally:
        connection.close()
    return heard


def _has_text(event: dict[str, Any]) -> bool:
    """Return whether an event of a stream brings text: some servers begin with one of none."""
    choices = event.get("choices") or [{}]
    return bool(choices[0].get("text") or (choices[0].get("delta") or {}).get("content"))


class Service:
    """Our service in its own process; a context."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process, self.url, self._log = process, url, log

    @property
    def log(self) -> str:
        """What it wrote to its standard error so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def metrics(self) -> dict[str, float]:
        """Return its figures by their names, without what they all begin with."""
        found = re.findall(r"^llm_explainer_(\S+) (\S+)$", ask(self.url, "/metrics").text, re.M)
        return {name: float(value) for name, value in found}

    def memory(self) -> dict[str, float]:
        """Return the MB that it holds: ``rss``, and ``heap``, which no file stands for."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kinds = {"rss": "VmRSS", "heap": "RssAnon"}
        return {
            name: int(re.findall(rf"{kind}:\s+(\d+) kB", status)[0]) / 1e3
            for name, kind in kinds.items()
        }

    def connections(self) -> int:
        """Return how many sockets it has open: one listens, two wake its own threads."""
        count = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(OSError):  # it may just have been closed
                count += str(link.readlink()).startswith("socket:")
        return count

    def drain(self) -> int:
        """Tell it to end in order, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_S)


@contextmanager
def serving(checkpoint: Path, arguments: Sequence[str], folder: Path) -> Iterator[Service]:
    """Serve a checkpoint at a free port for as long as the block takes; its log is in ``folder``.

    Raises:
        RuntimeError: it did not start.
    """
    log = folder / "service.log"
    words = ["serve", str(checkpoint), "--port=0", *arguments]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_explainer", *words],
            stderr=written,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "200"},
        )
    service = Service(process, "", log)
    try:
        deadline = time.monotonic() + START_S
        while not (found := re.search(r"at (http://\S+)", service.log)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start: {service.log}")
            time.sleep(0.05)
        service.url = found[1]
        yield service
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
