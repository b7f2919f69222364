"""Where runs are kept, what a new one is called, and which is the newest."""

from __future__ import annotations

from pathlib import Path

from llm_explainer.errors import CheckpointError
from llm_explainer.run_folders import meant_checkpoint
from llm_explainer.spelling import command_line

RUNS = Path("runs")
"""Where the commands keep runs, below the folder in which they are started."""

MOST = 10_000


def resume_command(run: Path) -> str:
    """Return the command that goes on with a run of any kind, to be pasted into a shell."""
    return command_line("uv", "run", "train_pretrain.py", "--resume", run)


def make_free_folder(folder: Path, name: str) -> Path:
    """Make folder/name, or the first of name-2, name-3, ... that is not there; return its path.

    Of two processes that ask at once each gets one of its own.

    Raises:
        CheckpointError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, MOST):
            path = folder / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise CheckpointError(
            f"cannot make a run folder under {folder}: {error.strerror}; name one with --out that "
            "is writable and has room"
        ) from error
    raise CheckpointError(f"{folder} has {MOST:,} runs called {name}; name another with --out")


def newest_run(folder: Path) -> Path:
    """Return the run in ``folder`` whose last checkpoint is the newest.

    Raises:
        CheckpointError: there is none.
    """
    configs = {}
    for path in folder.glob("*/"):
        # A folder that is no run may be a model directory itself.
        config = (meant_checkpoint(path) or path) / "config.json"
        if config.exists():
            configs[path] = config.stat().st_mtime
    if not configs:
        raise CheckpointError(
            f"no trained model under {folder}/; train one with `uv run run_demo.py quick`, or name "
            "a checkpoint directory"
        )
    return max(configs, key=lambda path: configs[path])
