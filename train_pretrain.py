"""Pre-train a language model: `uv run train_pretrain.py --help`."""

from llm_explainer.commands.app import run
from llm_explainer.program import BY_NAME

if __name__ == "__main__":
    run(BY_NAME["pretrain"])
