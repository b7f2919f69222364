"""``python -m llm_explainer``, and what the command ``llm-explainer`` calls."""

from __future__ import annotations

from llm_explainer.commands.app import run
from llm_explainer.program import COMMANDS


def main() -> None:
    """Run the command that was typed, and exit."""
    run(COMMANDS)


if __name__ == "__main__":
    main()
