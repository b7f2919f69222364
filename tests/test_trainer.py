"""The trainer: it learns, evaluates, keeps checkpoints, stops and resumes exactly."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from llm_explainer import ModelConfig, load_backend, load_checkpoint
from llm_explainer.batch import Batch
from llm_explainer.errors import CheckpointError, ConfigError, Diverged, TrainingError
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.training.batches import WindowBatches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.demonstration import Continuation
from llm_explainer.training.evaluation import token_byte_lengths
from llm_explainer.training.events import Evaluated, Sampled, Saved, StepDone
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.trainer import Trainer
from llm_explainer.tree import flatten

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
CONFIG = TrainConfig(
    steps=12,
    batch_size=4,
    learning_rate=1e-2,
    min_learning_rate=1e-3,
    warmup_steps=2,
    eval_every=4,
    eval_windows=8,
    sample_every=6,
    checkpoint_every=3,
    workers=2,
)


def change(**changes):
    return TrainConfig(**{**CONFIG.to_dict(), **changes})


def make_trainer(path, config=CONFIG, resume=False, **model):
    nn = load_backend("numpy")
    tokenizer = CharTokenizer.train([TEXT], special_tokens=())
    tokens = np.array(tokenizer.encode(TEXT), np.uint16)
    folder = RunFolder(path)
    if resume:
        gpt, tokenizer = load_checkpoint(folder.newest(), "numpy")
    else:
        folder.create()
        shape = {"d_model": 16, "n_layers": 1, "n_heads": 2, "context_length": 16, **model}
        gpt = nn.GPT(ModelConfig(vocab_size=tokenizer.vocab_size, **shape))
    batches = WindowBatches(tokens[:1500], tokens[1500:], 16, config)
    events = []
    shown = Continuation(tokenizer, batches, config)
    trainer = Trainer(
        nn, gpt, tokenizer, batches, config, folder, [events.append], demonstration=shown
    )
    if resume:
        trainer.resume()
    return trainer, events


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def weights(path):
    return (path / "model.safetensors").read_bytes(), (path / "optimizer.safetensors").read_bytes()


def test_training_lowers_the_loss_and_tells_what_it_does(tmp_path):
    trainer, events = make_trainer(tmp_path / "run", change(steps=60))
    result = trainer.train()
    steps = of_kind(events, StepDone)
    assert [event.step for event in steps] == list(range(1, 61))
    assert steps[0].loss == pytest.approx(math.log(28), abs=0.2)
    assert steps[-1].loss < 2.6
    assert steps[0].tokens == 4 * 16
    assert result.finished
    assert result.step == 60
    evaluations = of_kind(events, Evaluated)
    assert [event.step for event in evaluations] == [*range(4, 61, 4), 60]
    assert [event.whole for event in evaluations] == [False] * 15 + [True]
    assert result.evaluation == evaluations[-1].evaluation
    assert [event.step for event in of_kind(events, Sampled)] == [*range(6, 61, 6)]


def test_the_last_evaluation_is_the_loss_of_all_validation_tokens(tmp_path):
    trainer, _ = make_trainer(tmp_path / "run", change(steps=1))
    result = trainer.train()
    total = n = 0.0
    for tokens, targets, *_ in trainer.batches.validation():
        total += trainer.model.loss(tokens, targets) * targets.size
        n += targets.size
    assert n == 299  # 300 tokens: each but the first is predicted once
    assert result.evaluation.loss == pytest.approx(total / n, rel=1e-6)
    # Every character here is one byte.
    assert result.evaluation.bits_per_byte == pytest.approx(total / n / math.log(2), rel=1e-6)


def test_checkpoints_are_kept_by_step_and_best(tmp_path):
    trainer, events = make_trainer(tmp_path / "run", change(keep_checkpoints=1))
    result = trainer.train()
    saved = [event.step for event in of_kind(events, Saved)]
    best = [event.step for event in of_kind(events, Evaluated) if event.best]
    assert saved[0] == 0  # from the first moment on there is something to resume
    assert set(saved) == {0, 3, 6, 9, 12} | set(best)
    assert trainer.folder.steps() == sorted({12, best[-1]})
    assert result.best_step == best[-1]
    assert (tmp_path / "run" / "best").resolve().name == f"step-{best[-1]:06d}"


def test_a_stopped_run_resumes_to_the_same_bytes(tmp_path):
    whole, _ = make_trainer(tmp_path / "whole")
    whole.train()
    stopped, _ = make_trainer(tmp_path / "stopped")
    stopped.observers = [lambda event: stopped.request_stop() if event.step == 5 else None]
    result = stopped.train()
    assert (result.finished, result.step, result.evaluation) == (False, 5, None)
    resumed, events = make_trainer(tmp_path / "stopped", resume=True)
    assert resumed.train().finished
    assert [event.step for event in of_kind(events, StepDone)] == list(range(6, 13))
    assert weights(tmp_path / "whole" / "last") == weights(tmp_path / "stopped" / "last")
    assert (resumed.best_step, resumed.best_loss) == (whole.best_step, whole.best_loss)


def test_dropout_resumes_to_the_same_bytes(tmp_path):
    whole, _ = make_trainer(tmp_path / "whole", dropout=0.2)
    whole.train()
    stopped, _ = make_trainer(tmp_path / "stopped", dropout=0.2)
    stopped.observers = [lambda event: stopped.request_stop() if event.step == 7 else None]
    stopped.train()
    make_trainer(tmp_path / "stopped", resume=True)[0].train()
    assert weights(tmp_path / "whole" / "last") == weights(tmp_path / "stopped" / "last")


def test_accumulated_micro_batches_train_as_one_large_batch_would(tmp_path):
    # SGD, because Adam's first steps blow up the rounding of gradients that are nearly zero.
    sgd = {"steps": 3, "optimizer": "sgd", "learning_rate": 0.5}
    one, _ = make_trainer(tmp_path / "one", change(**sgd, batch_size=8))
    two, _ = make_trainer(tmp_path / "two", change(**sgd, batch_size=4, accumulate=2))

    class Halves:
        """The first half of the large batch, then the second."""

        validation = two.batches.validation

        def training(self, index):
            tokens, targets, *_ = one.batches.training(index // 2)
            half = slice(0, 4) if index % 2 == 0 else slice(4, 8)
            return Batch(tokens[half], targets[half])

    two.batches = Halves()
    one.train()
    two.train()
    parameters = flatten(two.model.parameters())
    for name, array in flatten(one.model.parameters()).items():
        np.testing.assert_allclose(array, parameters[name], atol=2e-6)


def test_a_learning_rate_that_explodes_stops_before_a_checkpoint_is_spoilt(tmp_path):
    config = change(steps=200, learning_rate=1e12, min_learning_rate=0.0, clip_norm=0.0)
    trainer, events = make_trainer(tmp_path / "run", config, norm="rmsnorm")
    with pytest.raises(TrainingError, match=r"the loss is .*first not finite: \S+.*") as error:
        trainer.train()
    assert "\n" not in str(error.value)
    assert "learning rate under 1e+12" in str(error.value)
    model, _ = load_checkpoint(tmp_path / "run")
    assert all(np.isfinite(array).all() for array in flatten(model.parameters()).values())
    assert all(math.isfinite(event.loss) for event in of_kind(events, StepDone))


def test_the_first_layer_that_overflowed_is_named(tmp_path):
    trainer, _ = make_trainer(tmp_path / "run", n_layers=3)
    network = trainer.model.blocks[1].feed_forward
    network.up_proj.bias[...] = 10
    network.down_proj.weight[...] = 3e38  # finite, but ten of them are not
    with pytest.raises(Diverged, match=r"first not finite: blocks\.1\.feed_forward;") as error:
        trainer.train()
    assert (error.value.step, error.value.where) == (1, "blocks.1.feed_forward")
    assert re.fullmatch(
        r"it read numbers up to \d\.\de\+0\d, and its weights reach 3\.0e\+38", error.value.why
    )
    network.down_proj.weight[0, 0] = np.nan
    with pytest.raises(TrainingError, match=r"parameter blocks\.1\.feed_forward\.down_proj"):
        trainer.train()


def test_a_checkpoint_of_another_model_is_not_resumed(tmp_path):
    make_trainer(tmp_path / "run")[0].train()
    other, _ = make_trainer(tmp_path / "other", d_model=32)
    other.folder = RunFolder(tmp_path / "run")
    with pytest.raises(CheckpointError, match="has shape"):
        other.resume()


def test_sgd_trains_and_resumes(tmp_path):
    config = change(optimizer="sgd", learning_rate=0.5)
    whole, events = make_trainer(tmp_path / "whole", config)
    whole.train()
    losses = [event.loss for event in of_kind(events, StepDone)]
    assert losses[-1] < losses[0]
    stopped, _ = make_trainer(tmp_path / "stopped", config)
    stopped.observers = [lambda event: stopped.request_stop() if event.step == 5 else None]
    stopped.train()
    make_trainer(tmp_path / "stopped", config, resume=True)[0].train()
    assert weights(tmp_path / "whole" / "last") == weights(tmp_path / "stopped" / "last")


def test_windows_at_documents_need_a_token_between_them(tmp_path):
    with pytest.raises(ConfigError, match="use windows 'random'"):
        make_trainer(tmp_path / "run", change(windows="documents"))


def test_bytes_of_tokens():
    tokenizer = CharTokenizer.train(["aé€<|endoftext|>"])
    lengths = token_byte_lengths(tokenizer, vocab_size=6)
    by_text = {text: int(lengths[tokenizer.encode(text)[0]]) for text in "aé€"}
    assert by_text == {"a": 1, "é": 2, "€": 3}
    assert lengths[tokenizer.end_of_text] == 0
    assert len(lengths) == 6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("steps", 1.5),
        ("batch_size", -1),
        ("accumulate", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", "fast"),
        ("min_learning_rate", 2.0),
        ("schedule", "stairs"),
        ("windows", "all"),
        ("optimizer", "adam"),
        ("beta1", 1.0),
        ("weight_decay", -0.1),
        ("clip_norm", -1.0),
        ("seed", -1),
        ("eval_every", -1),
        ("eval_windows", 0),
        ("keep_checkpoints", 0),
        ("init_scheme", "zeros"),
        ("workers", -2),
    ],
)
def test_settings_that_cannot_work_are_one_line_with_the_value(field, value):
    with pytest.raises(ConfigError, match=field) as error:
        change(**{field: value})
    assert "\n" not in str(error.value)
    assert (f"{value:g}" if isinstance(value, float) else str(value)) in str(error.value)
