"""A base model and what fine-tuning made of it, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.picture import save_picture
from llm_explainer.training.exact_match import share_right_by_kind
from llm_explainer.training.side_by_side import ModelResult, SideBySide

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#969696", "#2171b5", "#e6550d")
WIDTH = 0.8  # of a group of bars


def draw_side_by_side(results: SideBySide, path: Path) -> None:
    """Draw the answers by kind of question, and what each model paid for them, into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    answers, costs = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_answers(results, answers)
    _draw_costs(results.models, costs)
    for axes in (answers, costs):
        axes.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)


def _draw_answers(results: SideBySide, axes: Axes) -> None:
    """A group of bars for each kind of question, a bar for each model."""
    kinds = list(results.baseline)
    width = WIDTH / len(results.models)
    for place, (model, color) in enumerate(zip(results.models, COLORS, strict=True)):
        shares = share_right_by_kind(model.answers)
        x = [group - WIDTH / 2 + (place + 0.5) * width for group in range(len(kinds))]
        bars = axes.bar(x, [100 * shares[kind] for kind in kinds], width, color=color)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
        bars.set_label(model.name)
    for group, kind in enumerate(kinds):
        axes.hlines(
            100 * results.baseline[kind],
            group - WIDTH / 2,
            group + WIDTH / 2,
            colors="black",
            linestyles="dotted",
            label="" if group else "guessed without the story",
        )
    axes.set(ylabel="answers right to the letter (%)", ylim=(0, 118), yticks=range(0, 101, 20))
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set_title(f"{len(results.questions)} questions about stories that none has read")
    axes.legend(frameon=False, ncols=2, fontsize=8, loc="upper left")


def _draw_costs(models: list[ModelResult], axes: Axes) -> None:
    """What is left of the old task, and in words how much had to learn for the new one."""
    losses = [model.old_loss for model in models]
    bars = axes.barh(range(len(models)), losses, color=COLORS, height=0.5)
    labels = [
        f"{loss:.2f}\n{model.outcome.n_trained / 1e3:,.0f} k parameters learn"
        for loss, model in zip(losses, models, strict=True)
    ]
    axes.bar_label(bars, labels, padding=4, fontsize=8)
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.invert_yaxis()
    axes.set(xlabel="loss on stories (nats a token): the old task", xlim=(0, 1.6 * max(losses)))
    axes.set_title("what was forgotten")
