"""Chapter 13's failure lab: ``plain`` with one line of it broken, loaded beside the right one.

``plain`` itself stays as it is. A fault names a module of it, a piece of that module's source that
stands there once, and what takes its place; ``plain_with`` loads a copy of all modules with it:

    broken = plain_with(FAULTS["leaky mask"])
    logits, backward = broken.gpt(ids, parameters, config)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

MODULES = (
    *("contract", "activations", "layers", "positions", "attention"),
    *("feed_forward", "block", "model", "loss", "training", "generation", "lora"),
)
"""Those of ``plain``, each after what it imports."""


@dataclass(frozen=True)
class Fault:
    """One change of one line."""

    module: str  # of plain
    right: str  # stands there once
    wrong: str  # takes its place


FAULTS = {
    "leaky mask": Fault(
        "attention", "np.tri(n_tokens, dtype=bool)", "np.tri(n_tokens, k=1, dtype=bool)"
    ),
    "no root": Fault("attention", "scale = 1 / math.sqrt(width)", "scale = 1"),
    "root forgotten backward": Fault(
        "attention", "dq = dscores @ keys * scale", "dq = dscores @ keys"
    ),
    "keys dropped": Fault("attention", "return dq, dkeys.reshape", "return dq, 0 * dkeys.reshape"),
    "residual dropped": Fault("block", "return dx + dy, {", "return dx, {"),
    "tie forgotten": Fault(
        "model",
        'grads["token_embedding"]["weight"] += grads.pop("head")["weight"]',
        'grads.pop("head")',
    ),
}
"""The faults of chapter 13 by name. Two more, no warm-up and a rate too large, are settings."""


def plain_with(fault: Fault) -> ModuleType:
    """Return a copy of ``plain`` that has the fault; it has the names that ``plain`` exports.

    Raises:
        ValueError: what is to be broken does not stand in the module exactly once.
    """
    package = "plain_with_a_fault"
    folder = files("llm_explainer") / "plain"
    try:
        for name in (*MODULES, "__init__"):
            source = (folder / f"{name}.py").read_text(encoding="utf-8")
            if name == fault.module:
                if source.count(fault.right) != 1:
                    raise ValueError(f"plain/{name}.py does not hold {fault.right!r} exactly once")
                source = source.replace(fault.right, fault.wrong)
            module = ModuleType(package if name == "__init__" else f"{package}.{name}")
            sys.modules[module.__name__] = module
            exec(source.replace("llm_explainer.plain", package), module.__dict__)
        return module
    finally:
        for name in (package, *(f"{package}.{name}" for name in MODULES)):
            sys.modules.pop(name, None)
