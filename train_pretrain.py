"""Pre-train a language model: `uv run train_pretrain.py --help`."""

from llm_explainer.commands.app import run

if __name__ == "__main__":
    run("llm_explainer.commands.pretrain:pretrain")
