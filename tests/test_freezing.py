"""What is frozen stays, costs no gradient and no state; what is not learns as if nothing were."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx_twins import copies, mlx_backend
from small_models import FAMILIES, LLAMA, random_model, random_tokens, small_config

from llm_explainer import numpy_backend, save_checkpoint
from llm_explainer.batch import Batch
from llm_explainer.checkpoint import load_model
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.profiling.arrays import PRODUCTS, timed_arrays
from llm_explainer.profiling.clock import Clock
from llm_explainer.tree import flatten

BACKENDS = {"numpy": numpy_backend, "mlx": mlx_backend}
KINDS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "token embedding": lambda model: [model.token_embedding],
    "positions": lambda model: [model.position_embedding] if model.position_embedding else [],
    "attention": lambda model: [block.attention for block in model.blocks],
    "feed-forward": lambda model: [block.feed_forward for block in model.blocks],
    "norms": lambda model: [
        *(norm for b in model.blocks for norm in (b.attention_norm, b.feed_forward_norm)),
        model.final_norm,
    ],
    "head": lambda model: [model.head] if model.head else [],
}
SUBSETS = list(chain.from_iterable(combinations(KINDS, n) for n in range(len(KINDS))))

each_backend = pytest.mark.parametrize("nn", BACKENDS.values(), ids=BACKENDS)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def make_model(nn: Any, **changes: Any) -> Any:
    config = small_config(**changes, n_layers=2)
    model = nn.GPT(config)
    model.update(random_model(config, np.float32).parameters())
    return model


@each_backend
@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}], ids=["tied", "untied"])
def test_every_subset_of_kinds(nn: Any, changes: dict[str, Any]) -> None:
    model = make_model(nn, **changes)
    tokens, targets = (random_tokens(model.config, 2, 5, seed) for seed in (0, 1))
    whole_loss, whole = model.loss_and_grads(tokens, targets)
    whole = copies(whole)
    for subset in SUBSETS:
        model.unfreeze()
        frozen = [part for kind in subset for part in KINDS[kind](model)]
        names = {id(a) for part in frozen for a in flatten(part.freeze().parameters()).values()}
        expected = [n for n, a in flatten(model.parameters()).items() if id(a) not in names]
        assert list(flatten(model.trainable())) == expected
        loss, grads = model.loss_and_grads(tokens, targets)
        assert loss == pytest.approx(whole_loss, rel=1e-6)
        found = copies(grads)
        assert list(found) == expected
        for name, grad in found.items():
            np.testing.assert_allclose(grad, whole[name], rtol=1e-5, atol=1e-7, err_msg=name)


@each_backend
@each_family
@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("optimizer", ["AdamW", "Muon", "SGD"])
def test_a_step_moves_what_learns_alone(
    nn: Any, family: dict[str, Any], kind: str, optimizer: str
) -> None:
    """As far as it moves where all learns, but for clipping."""
    tokens, targets = (random_tokens(small_config(), 4, 5, seed) for seed in (0, 1))
    ends = []
    for freeze in (False, True):
        model = make_model(nn, **family)
        before = copies(model.parameters())
        if freeze:
            for part in KINDS[kind](model):
                part.freeze()
        learning = set(flatten(model.trainable()))
        step = nn.TrainStep(model, getattr(nn, optimizer)(model), clip_norm=0.0, workers=2)
        step([Batch(tokens, targets), Batch(targets, tokens)], 0.01)
        ends.append(copies(model.parameters()))
        names = {name.split(".", 1)[1] for name in step.optimizer.state()}
        assert names == learning
        for name, array in before.items():
            assert np.array_equal(ends[-1][name], array) == (name not in learning), name
    for name in learning:
        np.testing.assert_allclose(ends[1][name], ends[0][name], atol=2e-4, err_msg=name)


@each_backend
def test_nothing_to_train_is_refused(nn: Any) -> None:
    model = make_model(nn).freeze()
    with pytest.raises(ConfigError, match=r"all parameters are frozen, .*unfreeze some"):
        nn.AdamW(model)


@each_backend
def test_freezing_by_name(nn: Any) -> None:
    model = make_model(nn)
    model.freeze(keys="bias")
    assert not [name for name in flatten(model.trainable()) if name.endswith("bias")]
    model.freeze().unfreeze(keys=["bias"], strict=True)
    assert {name.rsplit(".", 1)[1] for name in flatten(model.trainable())} == {"bias"}
    with pytest.raises(KeyError, match="lora_a"):
        model.freeze(keys=["lora_a"], strict=True)
    model.unfreeze()
    model.freeze(recurse=False)
    assert flatten(model.trainable()).keys() == flatten(model.parameters()).keys()


@each_backend
def test_a_model_is_built_again_with_what_is_frozen(nn: Any) -> None:
    model = make_model(nn)
    model.blocks[1].freeze()
    model.blocks[0].attention.qkv_proj.freeze(keys=["bias"])
    spec = ModelSpec.of(model)
    again = ModelSpec.from_dict(spec.to_dict())
    assert again == spec
    assert again.count_trainable() == sum(a.size for a in flatten(model.trainable()).values())
    assert list(flatten(again.build(nn).trainable())) == list(flatten(model.trainable()))
    assert ModelSpec.from_dict(model.config.to_dict()) == ModelSpec(model.config)
    with pytest.raises(ConfigError, match=r"no parameter 'blocks\.7\.w' to freeze"):
        ModelSpec(model.config, ("blocks.7.w",)).build(nn)


@each_backend
def test_what_is_frozen_takes_less_memory(nn: Any) -> None:
    model = make_model(nn)
    whole = nn.training_bytes(ModelSpec.of(model), 2, 1)
    model.token_embedding.freeze()
    assert nn.training_bytes(ModelSpec.of(model), 2, 1) < whole


def test_memory_counts_every_copy_of_the_parameters() -> None:
    """Itself, two averages, the step's gradient, and one for each worker; less what is frozen."""
    config = small_config(n_layers=1)
    n, n_frozen = config.count_parameters(), 100

    def numbers(workers: int, frozen: int = 0) -> float:
        spec = ModelSpec(config, (), frozen)
        without = ModelSpec(config, (), n)  # then only itself is left
        extra = numpy_backend.training_bytes(spec, 1, workers)
        return (extra - numpy_backend.training_bytes(without, 1, workers)) / (4 * 1.06)

    for workers in (1, 3):
        assert numbers(workers) == pytest.approx((3 + workers) * n, abs=2)
        assert numbers(workers, n_frozen) == pytest.approx((3 + workers) * (n - n_frozen), abs=2)


def flops_of_backward(layer: Any, n_rows: int) -> float:
    """Return the operations of the matrix products in a layer's backward pass."""
    clock = Clock()
    with timed_arrays(clock):
        x = np.ones((n_rows, layer.weight.shape[1]), np.float32)
        y, backward = layer.forward(x)
        dy = np.ones(y.shape, np.float32)
        with clock.running() as counts:
            backward(dy)
    return sum(tally.flops for (_, kind), tally in counts.kernels.items() if kind == PRODUCTS)


def test_a_frozen_linear_makes_one_product_in_its_backward_pass() -> None:
    linear = make_model(numpy_backend).blocks[0].feed_forward.up_proj
    product = 2 * 10 * linear.weight.size
    assert flops_of_backward(linear, 10) == 2 * product + 2 * 10 * linear.bias.size
    assert flops_of_backward(linear.freeze(), 10) == product


def test_below_what_learns_there_is_no_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all below block 1 frozen, block 0's closure is never called."""
    model = make_model(numpy_backend)
    tokens = random_tokens(model.config, 2, 5)
    whole = copies(model.loss_and_grads(tokens, tokens)[1])
    for part in (model.token_embedding, model.position_embedding, model.blocks[0]):
        part.freeze()
    forward = model.blocks[0].forward

    def no_backward(*arguments: Any) -> Any:
        def backward(*_: Any) -> Any:
            raise AssertionError("the backward pass of a block below all that learns")

        return forward(*arguments)[0], backward

    monkeypatch.setattr(model.blocks[0], "forward", no_backward)
    for name, grad in copies(model.loss_and_grads(tokens, tokens)[1]).items():
        np.testing.assert_array_equal(grad, whole[name])


@each_backend
@pytest.mark.parametrize("recompute", [False, True])
def test_out_decides_and_not_what_is_frozen(nn: Any, recompute: bool) -> None:
    """A place for every gradient gets it, of a frozen model too; no place, none."""
    model = make_model(nn)
    tokens = random_tokens(model.config, 2, 5)
    whole = copies(model.loss_and_grads(tokens, tokens)[1])
    places = numpy_backend.GPT(model.config).parameters()  # arrays that can be written to
    model.freeze()
    _, grads = model.loss_and_grads(tokens, tokens, recompute=recompute, out=places)
    for name, grad in copies(grads).items():
        np.testing.assert_allclose(grad, whole[name], rtol=1e-5, atol=1e-7, err_msg=name)
    model.unfreeze()
    only = {"final_norm": {"weight": np.zeros(model.config.d_model, np.float32)}}
    _, grads = model.loss_and_grads(tokens, tokens, recompute=recompute, out=only)
    assert list(copies(grads)) == ["final_norm.weight"]
    np.testing.assert_allclose(
        grads["final_norm"]["weight"], whole["final_norm.weight"], rtol=1e-5, atol=1e-7
    )


@each_backend
def test_a_layer_alone_goes_by_out_too(nn: Any) -> None:
    linear = make_model(nn).blocks[0].attention.out_proj
    x = nn.as_array(np.ones((3, 8)))
    _, backward = linear.forward(x)
    linear.freeze()
    out = {"weight": nn.as_array(np.zeros((8, 8)))}
    _, grads = backward(nn.as_array(np.ones((3, 8))), out)
    np.testing.assert_array_equal(np.asarray(grads["weight"]), np.full((8, 8), 3.0))


@each_backend
def test_freezing_after_the_optimizer_was_made_is_refused(nn: Any) -> None:
    model = make_model(nn)
    step = nn.TrainStep(model, nn.AdamW(model), workers=1)
    tokens = random_tokens(model.config, 2, 5)
    step([Batch(tokens, tokens)], 0.01)
    model.token_embedding.freeze()
    with pytest.raises(ConfigError, match=r"'token_embedding.weight' was frozen .* new optimizer"):
        step([Batch(tokens, tokens)], 0.01)
    optimizer = nn.AdamW(model)
    model.unfreeze()
    with pytest.raises(ConfigError, match=r"'token_embedding.weight' was frozen .* new optimizer"):
        nn.TrainStep(model, optimizer, workers=1)
    model.token_embedding.freeze()
    nn.TrainStep(model, optimizer, workers=1)([Batch(tokens, tokens)], 0.01)


def test_what_is_called_but_is_no_module_is_refused() -> None:
    model = make_model(numpy_backend)
    model.blocks[0].attention.out_proj = lambda x: x
    with pytest.raises(TypeError, match=r"CausalSelfAttention.out_proj is called like a layer but"):
        model.parameters()


@each_backend
@pytest.mark.parametrize("changes", [{}, LLAMA, {"norm": "rmsnorm"}], ids=["gpt2", "llama", "own"])
def test_a_checkpoint_comes_back_frozen(nn: Any, changes: dict[str, Any], tmp_path: Path) -> None:
    model = make_model(nn, **changes)
    model.blocks[0].freeze()
    model.blocks[1].attention.qkv_proj.freeze(keys=["weight"])
    save_checkpoint(tmp_path / "model", model, None)
    again = load_model(tmp_path / "model", nn.NAME)
    assert ModelSpec.of(again) == ModelSpec.of(model)
    model.unfreeze()
    save_checkpoint(tmp_path / "whole", model, None)
    assert '"frozen"' not in (tmp_path / "whole" / "config.json").read_text()


@pytest.mark.parametrize("frozen", ['"blocks"', "[3]", '["blocks.9.x"]'])
def test_a_damaged_list_of_what_is_frozen_is_one_line(frozen: str, tmp_path: Path) -> None:
    model = make_model(numpy_backend)
    model.final_norm.freeze()
    save_checkpoint(tmp_path / "model", model, None)
    (tmp_path / "model" / "SHA256SUMS").unlink()
    config = tmp_path / "model" / "config.json"
    document = json.loads(config.read_text())
    document["llm_explainer"]["frozen"] = json.loads(frozen)
    config.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"config\.json: .*(list of names|no parameter)"):
        load_model(tmp_path / "model", "numpy")
