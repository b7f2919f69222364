"""How many directions a change of a weight has: all parameters learning, and adapters."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.adapters import apply_lora
from llm_explainer.data.stories.questions import StoryQuestion, one_story
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tree import flatten
from llm_explainer.tutorial import story_model
from llm_explainer.tutorial.drawing import BLUE, GREEN, new_figure, save, style

SHOWN = 16
RATE = 0.001
STEPS = 2
LORA = LoRAConfig(rank=2, targets="down_proj")
LAYER = "blocks.2.feed_forward.down_proj"


def draw(folder: Path) -> None:
    """Draw the singular values of a story model's gradient, and of a LoRA that took its steps."""
    model, tokenizer = story_model()
    questions = [question for story in range(3) for question in one_story(story)[:8]]
    gradient = add_gradients(model, tokenizer, questions)[f"{LAYER}.weight"]  # (D, F)
    change = _change(model, tokenizer, questions[:8])
    with style():
        figure, axes = new_figure(7.6, 3.0, columns=2)
        for place, matrix, color, title in (
            (axes[0], gradient, BLUE, "the gradient of all of W"),
            (axes[1], change, GREEN, f"s · B A, rank {LORA.rank}, after {STEPS} steps"),
        ):
            sizes = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[:SHOWN]
            place.bar(range(1, SHOWN + 1), (sizes / sizes[0]).round(3), color=color)
            place.set(title=title, xlabel="singular value", ylabel="share of the largest")
            place.set_xticks([1, 2, 4, 8, 16])
        save(figure, folder / "10-singular.svg")


def add_gradients(model: Any, tokenizer: Any, questions: Iterable[StoryQuestion]) -> dict[str, Any]:
    """Return the gradients of the answers' losses, added over questions, by name."""
    total: dict[str, Any] = {}
    for question in questions:
        prompt = tokenizer.encode(question.prompt)
        answer = [*tokenizer.encode(question.completion), tokenizer.end_of_text]
        ids = np.array([[*prompt, *answer]])  # (1, T + 1)
        mask = (np.arange(ids.shape[1] - 1) >= len(prompt) - 1)[None]  # (1, T)
        _, grads = model.loss_and_grads(ids[:, :-1], ids[:, 1:], mask)
        for name, array in flatten(grads).items():
            total[name] = total.get(name, 0) + array
    return total


def _change(model: Any, tokenizer: Any, questions: list[StoryQuestion]) -> np.ndarray:
    """Return what adapters add to the last block's ``down_proj`` after a few plain steps."""
    adapted = apply_lora(model, LORA)
    arrays = flatten(adapted.trainable())
    for _ in range(STEPS):
        for name, gradient in add_gradients(adapted, tokenizer, questions).items():
            arrays[name] -= RATE * gradient
    a, b = arrays[f"{LAYER}.lora_a"], arrays[f"{LAYER}.slices.0.lora_b"]
    change: np.ndarray = LORA.alpha / LORA.rank * b @ a  # (D, F)
    return change
