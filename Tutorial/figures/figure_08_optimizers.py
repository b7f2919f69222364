"""Three methods, forty steps, one sentence."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tree import flatten, unflatten
from llm_explainer.tutorial import IDS, TARGETS, hand_model
from llm_explainer.tutorial.drawing import new_figure, save, style

N_STEPS = 40
BETA1, BETA2, EPS, DECAY = 0.9, 0.95, 1e-8, 0.1


def draw(folder: Path) -> None:
    """Draw the losses of the hand-sized model, at two rates."""
    with style():
        figure, axes = new_figure(7.4, 2.9, columns=2)
        for here, rate in zip(axes, (0.01, 0.1), strict=True):
            for name, dashes in (("SGD", ":"), ("momentum", "--"), ("AdamW", "-")):
                here.semilogy(_train(name, rate), dashes, label=name)
            here.set(title=f"rate {rate}", xlabel="step", ylim=(0.04, 4))
        axes[0].set_ylabel("loss")
        axes[0].legend(loc="lower left")
        save(figure, folder / "08-optimizers.svg")


def _train(name: str, rate: float) -> list[float]:
    """Return the loss before each step."""
    parameters, config = hand_model()
    p, losses = flatten(parameters), []
    m = {key: np.zeros_like(array) for key, array in p.items()}
    v = {key: np.zeros_like(array) for key, array in p.items()}
    for t in range(1, N_STEPS + 1):
        nested = unflatten(p, like=parameters)
        logits, backward = plain.gpt(np.array([IDS]), nested, config)
        loss, loss_backward = plain.cross_entropy(logits, np.array([TARGETS]))
        losses.append(loss)
        for key, g in flatten(backward(loss_backward())).items():
            if name == "AdamW":
                m[key] = BETA1 * m[key] + (1 - BETA1) * g
                v[key] = BETA2 * v[key] + (1 - BETA2) * g**2
                m_hat, v_hat = m[key] / (1 - BETA1**t), v[key] / (1 - BETA2**t)
                move = m_hat / (np.sqrt(v_hat) + EPS) + DECAY * p[key]
            else:
                m[key] = (BETA1 if name == "momentum" else 0) * m[key] + g
                move = m[key]
            p[key] = p[key] - rate * move
    return losses
