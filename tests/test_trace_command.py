"""The trace command: what it shows, what it writes, and what it refuses."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import FakeInput, Result, assert_one_line, command_runner

from llm_explainer import LoRAConfig, ModelConfig, apply_lora, load_backend
from llm_explainer.checkpoint import save_adapter, save_checkpoint
from llm_explainer.commands.trace import trace as trace_command
from llm_explainer.console import attribution_view, trace_view
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tracing import Target, ablate, attribute, lens, take_step, trace
from llm_explainer.tracing import step as stepping
from llm_explainer.training import milestones
from llm_explainer.tree import flatten

TOKENIZER = BPETokenizer.train(["Once upon a time a fox met a hen. The hen sang. " * 4], 280)
TEXT = "The hen met a"


@pytest.fixture(scope="module")
def model() -> Any:
    config = ModelConfig.preset("tiny", vocab_size=TOKENIZER.vocab_size, context_length=64)
    return load_backend("numpy").GPT(config, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    folder = tmp_path_factory.mktemp("work")
    save_checkpoint(folder / "runs" / "story", model, TOKENIZER)
    return folder


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    return partial(command_runner(folder, monkeypatch, capsys), trace_command)


def test_every_token_is_shown_with_its_loss(command: Any, model: Any) -> None:
    code, out, err = command("runs/story", "--prompt", TEXT)
    assert (code, err) == (0, "")
    found = trace(model, TOKENIZER, TEXT)
    assert f"loss {found.loss:.4f} nats a token" in out
    rows = re.findall(r"^ +(\d+) +(\S+) .* ([\d.]+) +[+-]", out, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, found.n_tokens))
    assert [float(row[2]) for row in rows] == [float(f"{loss:.3f}") for loss in found.losses]
    guess = f"{found.probabilities[-1].max():.1%}"
    assert guess in out.split("may come")[1]


def test_a_pipe_a_file_and_the_newest_run(command: Any, folder: Path) -> None:
    expected = command("runs/story", "--prompt", TEXT)[1]
    (folder / "text.txt").write_text(TEXT)
    assert command("--prompt-file", "text.txt")[1] == expected
    assert command(stdin=FakeInput(f"{TEXT}\n".encode()))[1] == expected


def test_why_shows_parts_that_add_up(command: Any, model: Any) -> None:
    _, out, _ = command("runs/story", "--prompt", TEXT, "--why", " hen", "--rows", "3")
    found = trace(model, TOKENIZER, TEXT)
    token = TOKENIZER.encode(" hen")[0]
    parts = attribute(found, -1, token)
    assert f"sum {parts.total:.6f}, the model's own {found.logits[-1, token]:.6f}" in out
    largest = int(np.abs(parts.values).argmax())
    name = attribution_view.part_name(parts.names[largest])
    assert re.search(rf"{name} +{re.escape(f'{parts.values[largest]:+.4f}')}", out)
    smaller = np.sort(np.abs(parts.values))[:-3].max()
    rest = parts.values[np.abs(parts.values) <= smaller].sum()
    assert re.search(rf"{len(parts.names) - 3} more parts +{re.escape(f'{rest:+.4f}')}", out)
    _, out, _ = command(
        "runs/story", "--prompt", TEXT, "--why", " hen", "--against", " a", "--at", "1"
    )
    parts = attribute(found, 1, token, against=TOKENIZER.encode(" a")[0])
    assert f"the model's own {parts.logit:.6f}" in out


def test_lens_ablation_and_step(command: Any, model: Any) -> None:
    _, out, _ = command("runs/story", "-p", TEXT, "--lens", "--ablate", "--step", "--rows", "5")
    found = trace(model, TOKENIZER, TEXT)
    read = lens(found)
    for row, words in enumerate(("embeddings", "block 0", "block 1")):
        p = trace_view.percent(read.target_probabilities[row, -1])
        rank = read.ranks[row, -1] + 1
        assert re.search(rf"^ +{words} .* {re.escape(p)} +{rank} *$", out, re.MULTILINE), words
    for effect in ablate(found).head_effects.ravel():
        assert f"{effect:+.4f}" in out
    step = take_step(found)
    assert f"loss {step.loss_before:.5f} before, {step.loss_after:.5f} after" in out
    assert f"{step.largest[4].gradient:+.6f}" in out
    assert f"{step.largest[5].gradient:+.6f}" not in out


def test_history_shows_every_kept_state(command: Any, model: Any, folder: Path) -> None:
    run = folder / "kept"
    save_checkpoint(run / "milestones" / "step-000000", model, TOKENIZER)
    save_checkpoint(run / "step-000007", load_backend("numpy").GPT(model.config, seed=5), TOKENIZER)
    (run / "run.json").write_text('{"model": 1, "train": 1}')
    _, out, _ = command("kept", "-p", TEXT, "--history", "--why", " hen")
    rows = re.findall(r"^ +(0|7) +([\d.]+) +([\d.]+%)", out.split("As it learned")[1], re.MULTILINE)
    first = trace(model, TOKENIZER, TEXT)
    p = trace_view.percent(first.probabilities[-1, TOKENIZER.encode(" hen")[0]])
    assert [row[0] for row in rows] == ["0", "7"]
    assert rows[0][1:] == (f"{first.loss:.3f}", p)


def test_out_holds_every_array(command: Any, model: Any, folder: Path) -> None:
    _, out, _ = command("runs/story", "-p", TEXT, "--why", " hen", "--out", "all.npz")
    assert "all.npz" in out
    target = Target.logit(-1, TOKENIZER.encode(" hen")[0])
    found = trace(model, TOKENIZER, TEXT, target=target)
    with np.load(folder / "all.npz") as saved:
        for name, gradient in found.gradients.items():
            np.testing.assert_array_equal(saved[f"gradients/{name}"], gradient)


def test_adapters_are_put_on_the_checkpoint(command: Any, model: Any, folder: Path) -> None:
    adapted = apply_lora(model, LoRAConfig(rank=2), seed=1)
    for name, array in flatten(adapted.parameters()).items():
        if name.endswith("lora_b"):
            array += 0.2
    save_adapter(folder / "adapter", adapted, base=folder / "runs" / "story")
    _, out, _ = command("runs/story", "-p", TEXT, "--adapter", "adapter")
    found = trace(adapted, TOKENIZER, TEXT)
    assert found.loss != trace(model, TOKENIZER, TEXT).loss
    assert f"loss {found.loss:.4f}" in out


def test_hostile_text_is_shown_as_text(command: Any) -> None:
    text = "[bold]x[/] :fox: \x1b[31m \u202eabc </script>\n\x00 é"
    code, out, _ = command("runs/story", "-p", text, "--rows", "60")
    assert code == 0
    assert not set(out) & {"\x1b", "\u202e", "\x00"}
    shown = "".join(re.findall(r"^ +\d+ +(\S+)", out, re.MULTILINE))
    assert shown == r"[bold]x[/]·:fox:·\x1b[31m·\xe2\x80\xaeabc·</script>↵\x00·\xc3\xa9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", ""], "the text to trace is empty"),
        (["--prompt", "hen " * 65], "tokens and the model's context only 64; shorten it"),
        (["--prompt", "a", "--prompt-file", "b"], "--prompt and --prompt-file b are given"),
        (["--prompt-file", "missing.txt"], "cannot read missing.txt"),
        (["--prompt", TEXT, "--why", " wonderful"], "' wonderful' is"),
        (["--prompt", TEXT, "--why", ""], "the token to explain is empty"),
        (["--prompt", TEXT, "--why", " hen", "--at", "9"], "the position is 9; this text has 0 to"),
        (["--prompt", TEXT, "--at", "-9"], "the position is -9; this text has 0 to"),
        (["--prompt", TEXT, "--against", " hen"], "--against has no effect: it goes with --why"),
        (
            ["--prompt", TEXT, "--out", "no/such/folder.npz"],
            "there is no folder no/such to write folder.npz into",
        ),
        (["--prompt", TEXT, "--out", "runs"], "runs is there and is no trace; name another file"),
        (["--prompt", TEXT, "--out", ""], ". is there and is no trace"),
        (["--prompt", TEXT, "--out", "/dev/null"], "/dev/null is there and is no trace"),
        (["--prompt", TEXT, "--out", "x" * 300], "File name too long"),
        (["--prompt", TEXT, "--history"], "runs/story keeps no checkpoints to go through"),
        (["nowhere", "--prompt", TEXT], "nowhere"),
        (["--prompt", "o", "--step"], "so no loss"),
    ],
)
def test_what_is_refused(command: Any, arguments: list[str], said: str) -> None:
    named = [] if arguments[0] == "nowhere" else ["runs/story"]
    assert_one_line(command(*named, *arguments), said)


def test_only_a_trace_is_replaced_and_links_are_followed(command: Any, folder: Path) -> None:
    (folder / "mine.npz").write_text("mine")
    (folder / "link.npz").symlink_to("far.npz")
    (folder / "ring.npz").symlink_to("ring.npz")
    for out in ("mine.npz", "ring.npz"):
        result = command("runs/story", "-p", TEXT, "--out", out)
        assert_one_line(result, out)
        assert not result[1]  # it is said before anything is computed
    assert (folder / "mine.npz").read_text() == "mine"
    for _ in range(2):
        assert command("runs/story", "-p", TEXT, "--out", "link.npz")[0] == 0
    assert (folder / "link.npz").is_symlink()
    assert (folder / "far.npz").is_file()


def test_without_a_text_on_a_terminal(command: Any) -> None:
    assert_one_line(command(stdin=FakeInput(terminal=True)), "no text to trace; give one with")


@pytest.mark.parametrize("module", [attribution_view, trace_view, stepping, milestones])
def test_examples_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
