"""Damaged checkpoints: each is refused in one line or loads exactly as it was; no code is run."""

import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_checkpoint import TOKENIZER, assert_same_model, nn, random_model, tiny_config

from llm_explainer.checkpoint import load_checkpoint, load_trainer_state, save_checkpoint
from llm_explainer.checkpoint.saving import FILES
from llm_explainer.errors import CheckpointError, TokenizerError

N_DAMAGES = 200
STATE = {"step": 3, "history": [1.5, 0.25]}


@pytest.fixture(params=["gpt2", "llama", "llm_explainer"])
def whole(request, tmp_path):
    """Return (directory, model, optimizer state) of a checkpoint that has every file."""
    family = "gpt2" if request.param == "gpt2" else "llama"
    position = {"position": "sinusoidal"} if request.param == "llm_explainer" else {}
    model = random_model(tiny_config(family, **position))
    optimizer = nn.AdamW(model)
    optimizer.update(model.parameters(), 0.01)
    path = tmp_path / "whole"
    state = {"trainer_state": STATE, "optimizer_state": optimizer.state()}
    save_checkpoint(path, model, TOKENIZER, **state)
    assert {file.name for file in path.iterdir()} == set(FILES)
    return path, model, optimizer.state()


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def flip_bits(path, rng):
    data = bytearray(path.read_bytes())
    # Small files and the beginnings of others are mostly text, where every bit means something.
    end = len(data) if rng.random() < 0.5 else min(len(data), 800)
    for _ in range(rng.choice([1, 1, 1, 5])):
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def change_digits(path, rng):
    data = bytearray(path.read_bytes())
    places = [i for i, byte in enumerate(data[:4000]) if chr(byte).isdigit()]
    for place in rng.sample(places, min(len(places), rng.choice([1, 1, 4]))):
        data[place] = ord(rng.choice("0123456789-.e"))
    path.write_bytes(data)


def truncate(path, rng):
    data = path.read_bytes()
    path.write_bytes(data[: rng.choice([0, 1, 7, 8, 9, rng.randrange(len(data)), len(data) - 1])])


def repeat_digits(path, rng):
    """Make a number huge."""
    data = path.read_bytes()
    places = [i for i, byte in enumerate(data[:4000]) if chr(byte).isdigit()]
    place = rng.choice(places or [0])
    path.write_bytes(data[:place] + b"9" * rng.choice([3, 9, 19, 400, 5000]) + data[place:])


def append(path, rng):
    path.write_bytes(path.read_bytes() + rng.choice([b"\0", b" ", b"\n", b"}", rng.randbytes(64)]))


def zero(path, rng):
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randrange(1, 512))
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)


def exchange(path, rng):
    shutil.copyfile(rng.choice(sorted(path.parent.iterdir())), path.parent / "copy")
    (path.parent / "copy").replace(path)


def replace_content(path, rng):
    contents = [
        pickle.dumps(Bomb(path.parent / "exploded")),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe{}",
        b"null",
        b"NaN",
        b"{}",
        b'{"model_type": "gpt2", "n_embd": NaN}',
        b'{"model_type": "llm_explainer", "vocab_size": 1e999}',
        (1 << 62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        rng.randbytes(300),
    ]
    path.write_bytes(rng.choice(contents))


def remove(path, rng):
    path.unlink()


def put_directory(path, rng):
    path.unlink()
    path.mkdir()


def put_pipe(path, rng):
    """A pipe that nobody writes to: opening it would wait for ever."""
    path.unlink()
    os.mkfifo(path)


def put_loop(path, rng):
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = [
    flip_bits,
    flip_bits,
    flip_bits,
    change_digits,
    change_digits,
    truncate,
    truncate,
    repeat_digits,
    append,
    zero,
    exchange,
    replace_content,
    remove,
    put_directory,
    put_pipe,
    put_loop,
]


def refusal(load, *arguments):
    """Return what ``load`` returns, or None if it refuses, in one line."""
    try:
        return load(*arguments)
    except (CheckpointError, TokenizerError) as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 600
    return None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.filterwarnings("ignore:tokenizer_config.json says")
@pytest.mark.parametrize("digests", [True, False], ids=["digests", "no digests"])
def test_random_damages(whole, tmp_path, digests):
    """With the digests nothing passes unseen; without, whatever passes is still a model."""
    path, model, optimizer_state = whole
    rng = random.Random(f"{model.config}{digests}")
    names = [name for name in FILES if digests or name != "SHA256SUMS"]
    n_refused = 0
    for trial in range(N_DAMAGES):
        damaged = Path(shutil.copytree(path, tmp_path / f"damaged-{trial}"))
        if not digests:
            (damaged / "SHA256SUMS").unlink()
        rng.choice(DAMAGES)(damaged / names[trial % len(names)], rng)
        loaded = refusal(load_checkpoint, damaged)
        resumed = refusal(load_trainer_state, damaged, model)
        n_refused += loaded is None or resumed is None
        if digests and loaded is not None:
            assert_same_model(loaded[0], model)
            assert loaded[1].vocab == TOKENIZER.vocab
        if digests and resumed is not None:
            assert resumed[0] == STATE
            assert resumed[1].keys() == optimizer_state.keys()
            for name, array in resumed[1].items():
                np.testing.assert_array_equal(array, optimizer_state[name])
        assert not (damaged / "exploded").exists()
        shutil.rmtree(damaged)
    assert n_refused > N_DAMAGES / 2


def test_the_bomb_would_explode(tmp_path):
    """The test above proves something only if unpickling it does leave the file."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))  # noqa: S301
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("config.json", load_checkpoint),
        ("model.safetensors", load_checkpoint),
        ("tokenizer.json", load_checkpoint),
        ("trainer_state.json", load_trainer_state),
        ("optimizer.safetensors", load_trainer_state),
    ],
)
def test_one_bit_in_any_file_is_seen(whole, name, load):
    path, _, _ = whole
    data = bytearray((path / name).read_bytes())
    data[-9] ^= 1  # in the numbers of a safetensors file, which its own format does not protect
    (path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=r"SHA-256 differs from SHA256SUMS\); take another"):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"step": NaN}', r"is not valid JSON \(NaN is not a JSON number\)"),
        (b'{"step": 1', "is not valid JSON"),
        (b"\xff", "is not UTF-8 text"),
        (b"[" * 200_000, "is nested too deeply"),
        (b"[1, 2]", r"holds \[1, 2\]; a JSON object is expected"),
    ],
)
def test_json_that_is_none(whole, content, message):
    path, _, _ = whole
    (path / "SHA256SUMS").unlink()
    (path / "trainer_state.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"trainer_state\.json {message}"):
        load_trainer_state(path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_file_that_the_system_refuses_to_read(whole, name, monkeypatch):
    path, _, _ = whole
    open_file = Path.open

    def refuse(self, *arguments, **options):
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return open_file(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read: Permission denied"):
        load_checkpoint(path)


def test_a_model_that_does_not_fit_in_memory(whole, monkeypatch):
    def refuse(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(nn, "GPT", refuse)
    with pytest.raises(CheckpointError, match="does not fit in this machine's memory"):
        load_checkpoint(whole[0])
