"""The commands of llm-explainer: `uv run run_demo.py` shows what there is."""

from llm_explainer.commands.app import run
from llm_explainer.program import DEMO

if __name__ == "__main__":
    run(DEMO)
