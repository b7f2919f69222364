"""Pre-train a language model: `uv run train_pretrain.py --help`."""

from llm_explainer.commands.app import run
from llm_explainer.commands.pretrain import pretrain

if __name__ == "__main__":
    run(pretrain)
