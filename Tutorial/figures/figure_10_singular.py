"""How many directions a change of a weight has: all parameters learning, and adapters."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.adapters import apply_lora
from llm_explainer.data.stories.questions import one_story
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tutorial import story_model
from llm_explainer.tutorial.drawing import BLUE, GREEN, new_figure, save, style

SHOWN = 16
RANK = 2
RATE = 0.01
STEPS = 2


def draw(folder: Path) -> None:
    """Draw the singular values of a story model's gradient, and of a LoRA that took its steps."""
    gradient, change = _gradient_and_change()
    with style():
        figure, axes = new_figure(7.6, 3.0, columns=2)
        for place, matrix, color, title in (
            (axes[0], gradient, BLUE, "the gradient of all of W"),
            (axes[1], change, GREEN, f"s · B A, rank {RANK}, after {STEPS} steps"),
        ):
            sizes = np.linalg.svd(matrix, compute_uv=False)[:SHOWN]
            place.bar(range(1, SHOWN + 1), sizes / sizes[0], color=color)
            place.set(title=title, xlabel="singular value", ylabel="share of the largest")
            place.set_xticks([1, 2, 4, 8, 16])
        save(figure, folder / "10-singular.svg")


def _gradient_and_change() -> tuple[np.ndarray, np.ndarray]:
    """Return dW of the last block's ``down_proj`` (D, F), and what an adapter adds to it."""
    model, tokenizer = story_model()
    weight = np.asarray(model.blocks[-1].feed_forward.down_proj.weight, dtype=np.float64)
    adapted = apply_lora(model, LoRAConfig(rank=RANK))
    a = np.asarray(adapted.blocks[-1].feed_forward.down_proj.lora_a, dtype=np.float64)  # (r, F)
    b = np.zeros((len(weight), RANK))  # (D, r)
    scale = LoRAConfig(rank=RANK).alpha / RANK
    first = _gradient(model, tokenizer, weight)
    gradient = first
    for _ in range(STEPS):
        db, da = scale * gradient @ a.T, scale * b.T @ gradient
        a, b = a - RATE * da, b - RATE * db
        gradient = _gradient(model, tokenizer, weight + scale * b @ a)
    return first, scale * b @ a


def _gradient(model: object, tokenizer: object, weight: np.ndarray) -> np.ndarray:
    """Return the gradient of the loss on the answers of a story's questions."""
    parameters = model.parameters()  # type: ignore[attr-defined]
    parameters["blocks"][-1]["feed_forward"]["down_proj"]["weight"] = weight
    total = np.zeros_like(weight)
    for question in one_story(0)[:3]:
        prompt = tokenizer.encode(question.prompt)  # type: ignore[attr-defined]
        answer = tokenizer.encode(question.completion)  # type: ignore[attr-defined]
        ids = np.array([[*prompt, *answer]])
        mask = (np.arange(ids.shape[1] - 1) >= len(prompt) - 1).astype(float)[None]
        config = model.config  # type: ignore[attr-defined]
        logits, backward = plain.gpt(ids[:, :-1], parameters, config)
        _, loss_backward = plain.cross_entropy(logits, ids[:, 1:], mask)
        grads = backward(loss_backward())
        total += grads["blocks"][-1]["feed_forward"]["down_proj"]["weight"]
    return total
