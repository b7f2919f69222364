"""What a comparison of the two backends found, and what it means.

Every layer is held against its twin in two ways. *In the model* it reads what the layers before it
made, so an error anywhere shows in all that follows. *Alone* both twins read the same numbers, so
only the layer where an error begins shows it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "wrong", "affected"]

FORWARD_BAR = 1e-4
"""Largest error of a number that a layer computes: absolute, and where a layer's numbers are larger
than 1 (the residual stream of a trained model, never the logits) relative to the largest."""

GRADIENT_BAR = 1e-4
"""Largest error of a gradient, relative: the length of the difference over the gradient's."""

CURVE_BAR = 1e-3
"""Largest difference of training steps: of their losses, and relative of their gradient norms."""


@dataclass(frozen=True)
class LayerCheck:
    """How far MLX's twin of a layer, or of a stage of the model, is from NumPy's.

    What was not measured (a stage has no parameters, a layer alone no loss) is None.
    """

    name: str  # as in checkpoints, such as "blocks.0.attention"
    output: float  # largest error of its output in the model
    alone: float | None = None  # the same where both read the same numbers
    backward: float | None = None  # alone: the worst of dx and its parameters' gradients
    gradient: float | None = None  # in the model, of the loss: the worst of its parameters
    forward_bar: float = FORWARD_BAR
    gradient_bar: float = GRADIENT_BAR
    verdict: Verdict = "ok"

    @property
    def is_wrong_alone(self) -> bool:
        """Whether the error begins in this layer."""
        return exceeds(self.alone, self.forward_bar) or exceeds(self.backward, self.gradient_bar)

    @property
    def is_wrong_in_the_model(self) -> bool:
        """Whether the error shows in this layer."""
        return exceeds(self.output, self.forward_bar) or exceeds(self.gradient, self.gradient_bar)


@dataclass(frozen=True)
class Parity:
    """What was found: by layer in the order of the model, and for every parameter."""

    checks: list[LayerCheck]
    gradients: dict[str, float]  # relative error of the loss's gradient, by parameter

    @property
    def is_equal(self) -> bool:
        """Whether every layer and every gradient keeps to its bar."""
        return all(check.verdict == "ok" for check in self.checks)


def exceeds(error: float | None, bar: float) -> bool:
    """Whether an error was measured and is over the bar; NaN is over any."""
    return error is not None and not error <= bar


def judge(checks: list[LayerCheck]) -> list[LayerCheck]:
    """Return the checks with their verdicts: where an error begins, and where it merely shows.

    A block is not to blame for a layer inside it. Where every layer is right alone, the way in
    which they are put together is wrong: the error begins at the first output that shows it, or,
    where only gradients are wrong, in all of those.
    """
    wrong_alone = [check.name for check in checks if check.is_wrong_alone]
    first_output = next((c.name for c in checks if exceeds(c.output, c.forward_bar)), None)

    def verdict(check: LayerCheck) -> Verdict:
        if not (check.is_wrong_alone or check.is_wrong_in_the_model):
            return "ok"
        if wrong_alone:
            inside = any(name.startswith(f"{check.name}.") for name in wrong_alone)
            return "wrong" if check.is_wrong_alone and not inside else "affected"
        return "wrong" if first_output in (None, check.name) else "affected"

    return [dataclasses.replace(check, verdict=verdict(check)) for check in checks]
