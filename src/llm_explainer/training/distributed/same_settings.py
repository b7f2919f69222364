"""Whether the processes of a distributed run were started for the same run."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llm_explainer
from llm_explainer.errors import ConfigError
from llm_explainer.training.distributed.processes import Processes


def check_same_settings(processes: Processes, settings: dict[str, Any]) -> None:
    """Compare what the processes were asked to do, and what with, before they begin.

    Args:
        processes: all of them; each makes this call
        settings: of this process: plain JSON values by name

    Raises:
        ConfigError: on every process, naming what differs.
        ProcessLost: one of the processes is gone.
    """
    everyone = processes.gather({**settings, **_program()})
    names = sorted({name for each in everyone for name in each})
    for name in names:
        first = everyone[0].get(name)
        for rank, other in enumerate(everyone):
            if other.get(name) != first:
                raise ConfigError(
                    f"the processes disagree: {name} is {first!r} in process 0 but "
                    f"{other.get(name)!r} in process {rank}; start all of them the same way"
                )


def _program() -> dict[str, str]:
    """Return what decides how settings are read and what is computed from them."""
    package = Path(llm_explainer.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return {"version of llm_explainer": digest.hexdigest()[:12], "version of mlx": version("mlx")}
