"""Fine-tune all parameters of a model: `uv run train_finetune_full.py --help`."""

from llm_explainer.commands.app import run
from llm_explainer.program import BY_NAME

if __name__ == "__main__":
    run(BY_NAME["finetune-full"])
