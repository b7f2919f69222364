"""The command that compares the backends: right builds pass, every kind of broken one is found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Call, command_runner
from mlx_twins import mlx_backend, mx
from small_models import FAMILIES, SWITCHES, random_model, small_config

from llm_explainer import backend, numpy_backend, save_checkpoint
from llm_explainer.commands.diff import diff
from llm_explainer.mlx_backend import cache, loss
from llm_explainer.parity import _worst, check_parity, gradient_errors
from llm_explainer.parity import random_model as random_parity_model
from llm_explainer.parity_verdict import LayerCheck, Parity, judge
from llm_explainer.tokenizer import CharTokenizer

SMALL = ["--d-model=16", "--vocab-size=50", "--length=12"]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run the command in an empty folder as the shell would; return exit code, stdout, stderr."""
    call = command_runner(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "120")
    return partial(call, diff)


def rows(output: str) -> dict[str, list[str]]:
    """Return the cells of each table row that has a verdict, by its first one."""
    cells = [line.split() for line in output.splitlines()]
    return {row[0]: row[1:] for row in cells if row and row[-1] in ("ok", "wrong", "affected")}


# What is right


def test_both_families_agree(command: Call) -> None:
    code, output, error = command(*SMALL, "--parameters")
    assert code == 0
    assert "gpt2 family" in output
    assert "llama family" in output
    assert "the same model" in output
    assert "blocks.1.attention.qkv_proj.bias" in output
    assert {row[-1] for row in rows(output).values()} == {"ok"}
    assert {"position_embedding", "blocks.1.attention", "logits", "cross_entropy"} < {*rows(output)}
    assert not error.strip()


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_agrees(changes: dict[str, Any]) -> None:
    parity = check_parity(random_parity_model(small_config(**changes)), batch_size=2, length=6)
    assert parity.is_equal, [check for check in parity.checks if check.verdict != "ok"]
    assert all(error < 1e-4 for error in parity.gradients.values())


def test_a_model_of_which_parts_are_frozen() -> None:
    model = random_parity_model(small_config())
    model.token_embedding.freeze()
    parity = check_parity(model, batch_size=2, length=6)
    assert parity.is_equal
    assert "token_embedding.weight" not in parity.gradients


@pytest.mark.parametrize("length", [1, 2, 4, 5])
def test_few_tokens_are_enough(command: Call, length: int) -> None:
    assert (
        command("--d-model=16", "--vocab-size=50", f"--length={length}", "--batch-size=1")[0] == 0
    )


def test_a_checkpoint_with_large_numbers(command: Call, tmp_path: Path) -> None:
    """A trained model's residual stream may be far above 1, and rounded accordingly."""
    model = random_model(small_config(vocab_size=3, n_layers=2, d_ff=32), np.float32, seed=1)
    model.blocks[0].feed_forward.down_proj.weight *= 1e4
    save_checkpoint(tmp_path / "model", model, CharTokenizer.train(["abc"], special_tokens=()))
    code, output, _ = command("--checkpoint=model")
    assert code == 0, output
    assert "model: 2 × 6 tokens" in output


# What is wrong


def patched(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[Any], None]:
    """Return what makes ``change(original, *arguments)`` the owner's method or function."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *args, **kwargs: change(original, *args, **kwargs), raising=True
        )

    return patch


def slightly(original: Any, *args: Any, **kwargs: Any) -> Any:
    """A result that is off by a thousandth."""
    return original(*args, **kwargs) * 1.001


def wrong_gradient(original: Any, *args: Any, **kwargs: Any) -> Any:
    """A right result whose backward pass is off by a thousandth."""
    y, backward = original(*args, **kwargs)

    def broken(dy: Any, out: Any = None) -> Any:
        dx, grads = backward(dy, out)
        return dx * np.float32(1.001), grads

    return y, broken


def other_scale(original: Any, q: Any, k: Any, v: Any, *, scale: float, mask: Any) -> Any:
    return original(q, k, v, scale=scale * 1.02, mask=mask)


def too_fast(original: Any, self: Any, learning_rate: float) -> Any:
    return original(self, learning_rate) * 1.5


def no_second_residual(original: Any, self: Any, x: Any, cache: Any = None, **more: Any) -> Any:
    h = x + self.attention.run(self.attention_norm(x), cache)
    return self.feed_forward(self.feed_forward_norm(h))


def no_positions(original: Any, self: Any, tokens: Any, *arguments: Any, **more: Any) -> Any:
    table, self.position_embedding = self.position_embedding, None
    hidden = original(self, tokens, *arguments, **more)
    self.position_embedding = table
    return hidden


def one_too_far(original: Any, self: Any) -> Any:
    start = original(self)
    return start + 1 if start else start


BROKEN = {
    "an activation": ("gpt2", patched(mlx_backend.GELU, "__call__", slightly), "feed_forward"),
    "a norm": ("llama", patched(mlx_backend.RMSNorm, "__call__", slightly), "norm"),
    "attention": (
        "llama",
        patched(mx.fast, "scaled_dot_product_attention", other_scale),
        "attention",
    ),
    "a backward pass": (
        "gpt2",
        patched(numpy_backend.LayerNorm, "forward", wrong_gradient),
        "norm",
    ),
    "a block": ("gpt2", patched(mlx_backend.Block, "run", no_second_residual), "blocks"),
    "positions": ("gpt2", patched(mlx_backend.GPT, "_hidden", no_positions), "position_embedding"),
    "the loss": ("llama", patched(loss, "weighted_loss", slightly), "cross_entropy"),
    "the cache": ("llama", patched(cache.LayerCache, "start", one_too_far), "cached"),
    "the optimizer": ("llama", patched(mlx_backend.AdamW, "rates", too_fast), "training"),
}


@pytest.mark.parametrize(("family", "patch", "culprit"), BROKEN.values(), ids=BROKEN)
def test_a_bad_build_is_found_and_named(
    family: str,
    patch: Callable[[Any], None],
    culprit: str,
    command: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patch(monkeypatch)
    code, output, _ = command(*SMALL, f"--family={family}")
    assert code == 1
    wrong = [name for name, row in rows(output).items() if row[-1] == "wrong"]
    assert wrong
    assert all(culprit in " ".join([name, *rows(output)[name]]) for name in wrong)
    assert "not the same model" in output.splitlines()[-1]


def test_a_reference_that_is_wrong_itself_is_told(
    command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(numpy_backend.RMSNorm, "__call__", slightly)(monkeypatch)
    code, output, _ = command(*SMALL, "--family=llama")
    assert code == 1
    assert rows(output)["NumPy"][:2] == ["beside", "plain"]
    assert rows(output)["NumPy"][-1] != "ok"


def test_a_number_that_is_none(command: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = patched(
        mlx_backend.SiLU, "__call__", lambda original, self, x: original(self, x) * mx.nan
    )
    patch(monkeypatch)
    code, output, _ = command(*SMALL, "--family=llama")
    assert code == 1
    assert rows(output)["blocks.0.feed_forward"][-1] == "wrong"
    assert rows(output)["logits"][-1] == "affected"
    assert rows(output)["blocks.0.attention"][0] != "nan"


# Verdicts


def test_who_is_to_blame() -> None:
    def verdicts(*checks: LayerCheck) -> list[str]:
        return [check.verdict for check in judge(list(checks))]

    fine = LayerCheck("final_norm", 1e-5, alone=1e-5, backward=1e-5, gradient=1e-5)
    layer = LayerCheck("blocks.0.attention", 1.0, alone=1.0, backward=0.0, gradient=0.0)
    block = LayerCheck("blocks.0", 1.0, alone=1.0, backward=0.0, gradient=0.0)
    after = LayerCheck("logits", 1.0)
    before = LayerCheck("token_embedding", 0.0, alone=0.0, backward=0.0, gradient=2e-4)
    assert verdicts(fine, layer, block, after, before) == [
        "ok", "wrong", "affected", "affected", "affected",
    ]  # fmt: skip
    assert verdicts(fine, block, after) == ["ok", "wrong", "affected"]
    assert verdicts(fine, after, before) == ["ok", "wrong", "affected"]
    assert verdicts(fine, before) == ["ok", "wrong"]
    assert verdicts(LayerCheck("logits", float("nan"))) == ["wrong"]
    assert verdicts(LayerCheck("logits", 1e-4), LayerCheck("logits", 1.01e-4)) == ["ok", "wrong"]
    assert not Parity(judge([after]), {}).is_equal
    assert Parity(judge([fine]), {}).is_equal


def test_no_number_is_the_worst_error() -> None:
    assert np.isnan(_worst([0.0, float("nan"), 1.0]))


def test_gradient_errors() -> None:
    right = {"a": np.array([3.0, 4.0]), "b": np.zeros(3)}
    assert gradient_errors({"a": np.array([3.0, 4.5]), "b": np.zeros(3)}, right) == {
        "a": pytest.approx(0.5 / np.hypot(3, 4.5)),
        "b": 0,
    }
    # What should be zero is measured against a hundredth of what its size has on average.
    assert gradient_errors({**right, "b": np.full(3, 1e-3)}, right)["b"] > 1e-2
    assert gradient_errors({**right, "b": np.zeros(4)}, right)["b"] == np.inf
    with pytest.raises(KeyError, match="'b'"):
        gradient_errors({"a": right["a"]}, right)


# Bad input


@pytest.mark.parametrize(
    ("options", "needles"),
    [
        (["--family=bert"], ["'bert'", "gpt2, llama, both"]),
        (["--size=huge"], ["'huge'", "tiny, small"]),
        (["--n-heads=3"], ["64", "3"]),
        (["--batch-size=0"], ["--batch-size is 0"]),
        (["--length=0"], ["--length is 0", "1 to 64"]),
        (["--length=65"], ["--length is 65", "1 to 64"]),
        (["--batch-size=10000000"], ["--batch-size 10000000", "GB"]),
        (["--size=large", "--d-model=131072"], ["GB"]),
        (["--checkpoint=nowhere"], ["nowhere"]),
        (["--checkpoint=x", "--size=small", "--n-heads=2"], ["leave out --n-heads, --size"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else None,
)
def test_bad_input_is_one_line(command: Call, options: list[str], needles: list[str]) -> None:
    code, output, error = command(*options)
    assert code == 2
    assert not output
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    for needle in needles:
        assert needle in error


def test_without_mlx_it_says_what_to_install(
    command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = backend.importlib.import_module

    def import_module(name: str) -> Any:
        if name == "mlx.core":
            raise ImportError("no such library")
        return real(name)

    monkeypatch.setattr(backend.importlib, "import_module", import_module)
    code, output, error = command()
    assert code == 2
    assert not output
    assert "install 'mlx'" in error
    assert len(error.splitlines()) == 1


def test_the_families_are_those_of_the_tests() -> None:
    assert list(FAMILIES) == ["gpt2", "llama"]
