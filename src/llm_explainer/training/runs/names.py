"""Where runs are kept, what a new one is called, and which is the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_explainer.errors import CheckpointError
from llm_explainer.program import BY_NAME, typed
from llm_explainer.run_folders import RECORD, meant_checkpoint, read_json

RUNS = Path("runs")
"""Where the commands keep runs, below the folder in which they are started."""

CONFIGS = ("config.json", "adapter_config.json")
"""One of these is in every checkpoint."""

MOST = 10_000


def resume_command(run: Path) -> str:
    """Return the command that goes on with a run, to be pasted into a shell."""
    kind = str(_record(run).get("kind", "pretrain"))
    return typed(kind if kind in BY_NAME else "pretrain", "--resume", run)


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


def newest_run(
    folder: Path, *, pretrained: bool = False, corpus: str | None = None, context: int = 0
) -> Path:
    """Return the run in ``folder``, or in one of its folders, whose last checkpoint is the newest.

    With ``pretrained`` only pre-training runs count, and of them with ``corpus`` those on it,
    and with ``context`` those that see so many tokens at once.

    Raises:
        CheckpointError: there is none.
    """
    changed = {}
    for path in (*folder.glob("*/"), *folder.glob("*/*/")):
        if path.name.startswith("step-") or path.is_symlink():
            continue  # of a run that is found itself
        # A folder that is no run may be a model directory itself.
        meant = meant_checkpoint(path) or path
        configs = [meant / name for name in CONFIGS if (meant / name).is_file()]
        if configs and (not pretrained or _suits(path, corpus, context)):
            changed[path] = configs[0].stat().st_mtime
    if not changed:
        what = "model that was pre-trained" if pretrained else "trained model"
        what += f" on {corpus}" if corpus else ""
        what += f" with a context of {context} tokens or more" if context else ""
        # quick's model would do for stories, but for its context: a question has no room in it.
        command = "full" if corpus else "quick"
        raise CheckpointError(
            f"no {what} under {folder}/; train one with `{typed(command)}`, or name "
            "a checkpoint directory"
        )
    return max(changed, key=lambda path: changed[path])


def pretrained_on(run: Path) -> str | None:
    """Return the corpus of a pre-training run; None where the folder is of no such run."""
    record = _record(run)
    data = record.get("data")
    if record.get("kind") != "pretrain" or not isinstance(data, dict):
        return None
    corpus = str(data.get("corpus"))
    return str(record.get("corpus")).partition(":")[0] if corpus == "auto" else corpus


def _suits(run: Path, corpus: str | None, context: int) -> bool:
    """Whether this is a pre-training run, on the corpus if one is named, of such a context."""
    read = pretrained_on(run)
    if read is None or corpus not in (None, read):
        return False
    model = _record(run).get("model")
    config = model.get("config") if isinstance(model, dict) else None
    own = config.get("context_length") if isinstance(config, dict) else None
    return isinstance(own, int) and own >= context


def _record(run: Path) -> dict[str, Any]:
    """Return what a run's record says; nothing where there is none that can be read."""
    return read_json(run / RECORD)
