"""Makes adapters of PEFT on the golden models, and the logits that PEFT computes with them.

uv run --with peft --with transformers --with torch python tests/golden/make_adapters.py
"""

from pathlib import Path

import numpy as np
import peft
import torch
import transformers

GOLDEN = Path(__file__).parent
CASES = {
    "gpt2-dora": ("gpt2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "use_dora": True}),
    "gpt2-attention": ("gpt2", {"target_modules": ["c_attn"]}),
    "llama-rslora": ("llama-untied", {"target_modules": "all-linear", "use_rslora": True}),
    "llama-q-v": (
        "llama-untied",
        {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"v_proj": 3}},
    ),
}


def main() -> None:
    for name, (base, options) in CASES.items():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_pretrained(GOLDEN / base)
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=3, **options)
        model = peft.get_peft_model(model, config).eval()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.3 * torch.randn_like(parameter)
        folder = GOLDEN / "adapters" / name
        model.peft_config["default"].base_model_name_or_path = f"../../{base}"
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        ids = np.load(GOLDEN / base / "logits.npz")["ids"]
        with torch.no_grad():
            logits = model(torch.from_numpy(ids)).logits.numpy()
        np.savez_compressed(folder / "logits.npz", ids=ids, logits=logits)


if __name__ == "__main__":
    main()
