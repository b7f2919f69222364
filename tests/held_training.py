"""Trainings that are held up at a moment, each in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from run_commands import TINY, write_text
from warm_commands import Commands, members, wait_for

from llm_explainer.checkpoint.way_back import is_whole
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log

STEPS = 12
OPTIONS = [
    "train_pretrain.py",
    *TINY,
    *("--workers=2", "--eval-every=4", "--sample-every=4", "--checkpoint-every=5"),
    *("--corpus=text.txt", "--out=run", f"--steps={STEPS}", "--learning-rate=1e-3"),
]
PREPARING = {
    "reading": ("llm_explainer.training.pretrain:load_corpus", 1),
    "encoding": ("llm_explainer.training.pretrain:write_tokens", 2),
    "measuring": ("llm_explainer.training.runs.run:preflight", 1),
}
TRAINING = {
    "the first save": ("llm_explainer.checkpoint.saving:write_checksums", 1),
    "a step": ("llm_explainer.training.trainer:Trainer._update", 8),
    "evaluating": ("llm_explainer.training.trainer:Trainer.evaluate", 1),
    "sampling": ("llm_explainer.training.trainer:Trainer._demonstrate", 1),
    "saving": ("llm_explainer.checkpoint.saving:write_checksums", 2),
    "pruning": ("llm_explainer.training.runs.folder:RunFolder.prune", 3),
    "the last evaluation": ("llm_explainer.training.trainer:Trainer._finish", 1),
}
ECHO, AGAIN = "leader, with an echo", "leader, twice"


class Training:
    """One that is held up at a moment."""

    def __init__(self, commands: Commands, folder: Path, place: tuple[str, int], **how) -> None:
        write_text(folder / "text.txt")
        self.commands, self.folder, self.run = commands, folder, RunFolder(folder / "run")
        at, nth = place
        self.pid = commands.start(folder, *OPTIONS, at=at, nth=nth, **how)
        wait_for(folder / "moment", self.pid)

    def send(self, number: int, target: str) -> None:
        if target == "group":
            os.killpg(self.pid, number)
        elif target == "worker":
            os.kill(max(members(self.pid)), number)
        else:
            os.kill(self.pid, number)
        if target in (ECHO, AGAIN):
            time.sleep(0.06)
            os.kill(self.pid, number)
        if number != signal.SIGSTOP:
            (self.folder / "go").touch()

    def end(self) -> int:
        code = self.commands.wait(self.pid)
        deadline = time.monotonic() + 5  # workers may be seen for a moment after their leader
        while members(self.pid):
            assert time.monotonic() < deadline, "somebody is left behind"
            time.sleep(0.01)
        return code

    def finish(self) -> None:
        """Let it through to its end."""
        (self.folder / "go").touch()
        assert self.end() == 0, self.said

    @property
    def said(self) -> str:
        return (self.folder / "output").read_text() + (self.folder / "errors").read_text()

    def logged(self) -> list[int]:
        """Return the steps that the log has."""
        return [e["step"] for e in read_log(self.run.log_file) if e["event"] == "step"]

    def assert_whole(self) -> int:
        """Check that the newest checkpoint is whole, and the log with it; return its step."""
        assert is_whole(self.run.newest())
        step = self.run.steps()[-1]
        assert self.logged()[:step] == list(range(1, step + 1))
        assert "Traceback" not in self.said
        assert not (self.folder / "run/run.lock").exists()
        return step

    def assert_can_go_on(self) -> int:
        """The same, and that the way on was said."""
        assert "train_pretrain.py --resume run" in self.said, self.said
        return self.assert_whole()
