"""Keep of a run's log what a figure needs: every 20th step, and all measurements.

uv run run_demo.py quick --out runs/quick
uv run python Tutorial/runs/keep_log.py runs/quick Tutorial/runs/quick.jsonl
"""

import json
import sys
from pathlib import Path

EVERY = 20
FIELDS = ("step", "loss", "learning_rate", "grad_norm")


def main(run: Path, out: Path) -> None:
    """Write a line for each that is kept; measurements have "val_loss"."""
    kept = []
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "step" and (event["step"] % EVERY == 0 or event["step"] == 1):
            kept.append({name: float(f"{event[name]:.4g}") for name in FIELDS})
        elif event["event"] == "evaluation":
            kept.append({"step": event["step"], "val_loss": round(event["loss"], 4)})
    out.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
