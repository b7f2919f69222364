"""Fine-tune a model with LoRA: `uv run train_finetune_lora.py --help`."""

from llm_explainer.commands.app import run

if __name__ == "__main__":
    run("llm_explainer.commands.finetune:finetune_lora")
