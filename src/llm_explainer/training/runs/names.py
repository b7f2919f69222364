"""Where runs are kept, what a new one is called, and which is the newest."""

from __future__ import annotations

from pathlib import Path

from llm_explainer.errors import CheckpointError

RUNS = Path("runs")
"""Where the commands keep runs, below the folder in which they are started."""

MOST = 10_000


def free_path(folder: Path, name: str) -> Path:
    """Return folder/name, or the first of name-2, name-3, ... that is not there."""
    names = [name, *(f"{name}-{number}" for number in range(2, MOST))]
    return next(folder / name for name in names if not (folder / name).exists())


def newest_run(folder: Path) -> Path:
    """Return the run in ``folder`` whose last checkpoint is the newest.

    Raises:
        CheckpointError: there is none.
    """
    # Following links: config.json of a run is that of its last checkpoint, if that is still there.
    configs = [path for path in folder.glob("*/config.json") if path.exists()]
    if not configs:
        raise CheckpointError(
            f"no trained model under {folder}/; train one with `uv run run_demo.py quick`, or name "
            "a checkpoint directory"
        )
    return max(configs, key=lambda path: path.stat().st_mtime).parent
