"""Fine-tune all parameters of a model: `uv run train_finetune_full.py --help`."""

from llm_explainer.commands.app import run

if __name__ == "__main__":
    run("llm_explainer.commands.finetune:finetune_full")
