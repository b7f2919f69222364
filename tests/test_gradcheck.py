"""The judge of gradients: it measures derivatives, and it calls wrong ones wrong."""

from __future__ import annotations

import numpy as np
import pytest
import typer
from small_models import small_config
from typer.testing import CliRunner

from llm_explainer.commands.gradcheck import gradcheck
from llm_explainer.errors import ConfigError
from llm_explainer.gradcheck import check_model, compare, numeric_gradient, relative_error
from llm_explainer.numpy_backend import GPT, causal
from llm_explainer.numpy_backend.module import Array, Backward
from llm_explainer.numpy_backend.norms import LayerNorm, RMSNorm
from llm_explainer.tree import Tree

TINY = ["--d-model", "4", "--n-layers", "1", "--n-heads", "2", "--d-ff", "3", "--vocab-size", "3"]


def test_numeric_gradient_of_a_known_function() -> None:
    x = np.array([[0.5, -2.0], [3.0, 0.0]])
    before = x.copy()
    gradient = numeric_gradient(lambda: float((x**3).sum() + x[0, 0] * x[1, 0]), x)
    np.testing.assert_allclose(gradient, 3 * x**2 + [[3.0, 0], [0.5, 0]], atol=1e-8)
    np.testing.assert_array_equal(x, before)


def test_relative_error_is_of_lengths() -> None:
    a = np.array([3.0, 4.0])
    assert relative_error(a, a) == 0
    assert relative_error(a, np.zeros(2)) == 1
    assert relative_error(a, np.array([3.0, 4.05])) == pytest.approx(0.01, rel=0.02)
    assert relative_error(np.zeros(2), np.array([0, 1e-9]), floor=1e-3) == pytest.approx(1e-6)
    assert relative_error(np.zeros(2), np.zeros(2)) == 0


def test_verdicts() -> None:
    strong = np.ones(100)
    noise = np.full(3, 1e-11)
    exact = {"right": strong, "off": strong, "zero": np.zeros(3), "nan": np.full(2, np.nan)}
    numeric = {"right": strong + 1e-9, "off": strong + 1e-5, "zero": noise, "nan": np.ones(2)}
    verdicts = {check.name: check.verdict for check in compare(exact, numeric)}
    assert verdicts == {"right": "ok", "off": "wrong", "zero": "zero", "nan": "wrong"}


def test_a_gradient_that_should_be_zero_and_is_not_is_wrong() -> None:
    (_, check) = compare(
        {"a": np.ones(10), "b": np.full(3, 1e-6)}, {"a": np.ones(10), "b": np.zeros(3)}
    )
    assert check.verdict == "wrong"


def test_missing_gradients_are_refused() -> None:
    with pytest.raises(KeyError, match=r"final_norm\.weight"):
        compare({}, {"final_norm.weight": np.ones(3)})


def test_progress_reaches_its_total() -> None:
    config = small_config(vocab_size=3, d_model=4, n_heads=2, d_ff=2)
    reports: list[tuple[int, int]] = []
    check_model(config, on_progress=lambda done, total: reports.append((done, total)))
    total = 2 * config.count_parameters()
    assert reports[-1] == (total, total)
    assert [done for done, _ in reports] == sorted({done for done, _ in reports})


def run_command(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(gradcheck)
    result = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "120"})
    return result.exit_code, result.output, result.exception


def test_command_shows_every_parameter_of_both_families() -> None:
    code, output, _ = run_command(*TINY)
    assert code == 0
    for name in ("position_embedding.weight", "blocks.0.feed_forward.gate_proj.weight"):
        assert name in output
    assert "gpt2:" in output
    assert "llama:" in output
    assert "all 25 gradients agree" in output
    assert "wrong" not in output


def test_command_turns_switches() -> None:
    code, output, _ = run_command(
        *TINY, "--family", "llama", "--position", "sinusoidal", "--bias", "--no-tie-embeddings"
    )
    assert code == 0
    assert "head.weight" in output
    assert "qkv_proj.bias" in output
    assert "sinusoidal positions" in output


@pytest.mark.parametrize("flag", ["--lora", "--dora"])
def test_command_checks_adapters_alone(flag: str) -> None:
    code, output, _ = run_command(*TINY, "--family", "gpt2", flag)
    assert code == 0
    assert "parameters of adapters" in output
    assert "attention.qkv_proj.slices.2.lora_b" in output
    assert ("head.slices.0.magnitude" in output) == (flag == "--dora")
    assert "base.weight" not in output


def test_command_refuses_what_it_cannot_check() -> None:
    assert isinstance(run_command("--family", "gpt3")[2], ConfigError)
    assert isinstance(run_command("--n-heads", "3")[2], ConfigError)


def test_command_fails_when_a_gradient_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistakes of the best-known project of this kind: no dK, no gradient of a norm."""
    right = causal._add_to_seen

    def forget_keys(total: Array, weights: Array, values: Array) -> None:
        right(total, weights, values)
        total[...] = 0

    monkeypatch.setattr(causal, "_add_to_seen", forget_keys)
    code, output, _ = run_command(*TINY, "--family", "llama")
    assert code == 1
    assert "qkv_proj.weight" in output
    assert "gradients are wrong" in output


@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
def test_a_dropped_norm_gradient_is_wrong(
    norm: type[LayerNorm | RMSNorm], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = norm.forward

    def forward(self: LayerNorm | RMSNorm, x: Array) -> tuple[Array, Backward]:
        y, backward = right(self, x)

        def broken(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            dx, grads = backward(dy, out)
            grads["weight"].fill(0)
            return dx, grads

        return y, broken

    monkeypatch.setattr(norm, "forward", forward)
    kind = "layernorm" if norm is LayerNorm else "rmsnorm"
    checks = check_model(small_config(vocab_size=3, d_model=4, n_heads=2, d_ff=2, norm=kind))
    wrong = {check.name for check in checks if check.verdict == "wrong"}
    weights = ("blocks.0.attention_norm", "blocks.0.feed_forward_norm", "final_norm")
    assert wrong == {f"{name}.weight" for name in weights}


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_one_wrong_way_to_a_gradient_is_enough(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient that is right from ``forward`` and wrong from ``loss_and_grads`` is wrong."""
    right = GPT.loss_and_grads

    def broken(self: GPT, tokens: Array, targets: Array, mask: Array) -> tuple[float, Tree]:
        loss, grads = right(self, tokens, targets, mask)
        grads["final_norm"]["weight"].fill(value)
        return loss, grads

    monkeypatch.setattr(GPT, "loss_and_grads", broken)
    checks = check_model(small_config(vocab_size=3, d_model=4, n_heads=2, d_ff=2))
    wrong = [check.name for check in checks if check.verdict == "wrong"]
    assert wrong == ["final_norm.weight"]
