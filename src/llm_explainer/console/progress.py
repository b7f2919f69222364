"""A progress bar with the time left, for work that goes through named stages."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from llm_explainer.console.terminal import is_live, show
from llm_explainer.spelling import spelled_out

LINE_EVERY_S = 10.0


class StageProgress:
    """A bar for each stage, shown as ``report`` first names it.

    Use it as a context manager and hand ``report`` to whoever does the work. Where nothing can
    change that is shown (a pipe, a dumb terminal), a stage has a line when it begins, and one now
    and then.

    Args:
        console: where to
        of_bytes: a stage is a transfer of bytes, with a speed.
    """

    def __init__(self, console: Console, *, of_bytes: bool = False) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._progress = (
            Progress(*_columns(of_bytes), console=console) if is_live(console) else None
        )

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress:
            # Of a terminal that was closed there is nothing to say where more went wrong.
            with suppress(OSError) if error else nullcontext():
                self._progress.stop()

    def report(self, stage: str, done: int, total: int | None) -> None:
        """Show that ``done`` of ``total`` is done; a total of None is not known."""
        if not self._progress:
            self._report_in_lines(stage, done, total)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(spelled_out(stage), total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def _report_in_lines(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if stage not in self._last_line:
            show(self._console, stage)
        elif now - self._last_line[stage] < LINE_EVERY_S:
            return
        else:
            show(self._console, f"{stage}  {done / total:.0%}" if total else f"{stage}  {done:,}")
        self._last_line[stage] = now


def _columns(of_bytes: bool) -> list[ProgressColumn]:
    stage = TextColumn("{task.description:<28}", markup=False)
    if of_bytes:
        return [stage, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    bar = BarColumn(bar_width=32)
    return [stage, bar, TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()]
