"""What goes wrong at the command line: one line, exit code 2, nothing lost, no traceback."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from command_line import assert_one_line, command_runner

from llm_explainer.commands.download import download
from llm_explainer.commands.generate import generate
from llm_explainer.commands.presets import presets
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.quick import quick

ROOT = Path(__file__).parents[1]
TINY = ["--size=tiny", "--steps=2", "--vocab-size=300", "--batch-size=2", "--workers=1"]
STORIES = ["--corpus=stories", "--max-bytes=60000", *TINY]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder as the shell would; return exit code, stdout, stderr."""
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("options", "needles"),
    [
        (["--val-fraction=0"], ["--val-fraction", "0.0"]),
        (["--val-fraction=nan"], ["nan"]),
        (["--size=huge"], ["'huge'", "tiny, small"]),
        (["--family=bert"], ["'bert'", "gpt2, llama"]),
        (["--d-model=65"], ["65", "n_heads 2", "n_heads 1 would do"]),
        (["--context-length=0"], ["--context-length is 0"]),
        (["--learning-rate=0"], ["--learning-rate is 0.0"]),
        (["--learning-rate=nan"], ["--learning-rate is nan"]),
        (["--steps=0"], ["steps is 0"]),
        (["--schedule=stairs"], ["'stairs'", "cosine"]),
        (["--tokenizer=morse"], ["morse"]),
        (["--vocab-size=100"], ["100", "257"]),
        (["--corpus=nowhere.txt"], ["nowhere.txt", "stories"]),
        (["--max-bytes=0"], ["0"]),
        (["--backend=abacus"], ["'abacus'", "numpy"]),
        (["--train-data=x.npy"], ["val_data"]),
        (["--sample-prompt=\udcff"], ["surrogate"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_settings_that_cannot_work(command, tmp_path, options, needles):
    assert_one_line(command(pretrain, *STORIES, "--out=run", *options), *needles)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("content", "needles"),
    [
        (b"", ["corpus.txt", "empty"]),
        (b"only a few words", ["tokens", "context_length"]),
        (b"caf\xe9 " * 1000, ["corpus.txt", "UTF-8", "3"]),
    ],
    ids=["empty", "shorter than a window", "not UTF-8"],
)
def test_a_corpus_that_cannot_be_used(command, tmp_path, content, needles):
    (tmp_path / "corpus.txt").write_bytes(content)
    assert_one_line(command(pretrain, "--corpus=corpus.txt", *TINY, "--out=run"), *needles)
    # Nothing stands in the way of the next try.
    (tmp_path / "corpus.txt").write_text("A longer text, with words enough. " * 300)
    assert command(pretrain, "--corpus=corpus.txt", *TINY, "--out=run")[0] == 0


def test_token_files_made_elsewhere(command, tmp_path):
    ids = np.random.default_rng(0).integers(300, size=2000)
    np.save(tmp_path / "train.npy", ids.astype(np.uint16))
    np.save(tmp_path / "val.npy", ids[:500].astype(np.uint16))
    np.save(tmp_path / "floats.npy", ids[:500].astype(np.float32))
    np.save(tmp_path / "large.npy", (ids[:500] + 300).astype(np.uint16))
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    data = ["--train-data=train.npy", *TINY]
    assert_one_line(command(pretrain, *data, "--val-data=none.npy", "--out=a"), "none.npy")
    assert_one_line(command(pretrain, *data, "--val-data=floats.npy", "--out=b"), "float32")
    assert_one_line(command(pretrain, *data, "--val-data=pickle.npy", "--out=c"), "pickle.npy")
    assert_one_line(command(pretrain, *data, "--val-data=large.npy", "--out=d"), "vocabulary", 300)
    assert command(pretrain, *data, "--val-data=val.npy", "--out=e")[0] == 0
    assert command(pretrain, "--resume=e")[0] == 0
    config = json.loads((tmp_path / "e" / "config.json").read_text())
    assert config["vocab_size"] == 300


def test_a_folder_that_holds_another_run(command, tmp_path):
    assert command(pretrain, *STORIES, "--out=run")[0] == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    result = command(pretrain, *STORIES, "--out=run", "--seed=1")
    assert_one_line(result, "run", "step 2", "--resume", "--overwrite")
    assert_one_line(command(quick, "--out=run"), "--overwrite")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert command(pretrain, *STORIES, "--out=run", "--seed=1", "--overwrite")[0] == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before


def test_overwriting_with_what_cannot_work_keeps_the_old_run(command, tmp_path):
    assert command(pretrain, *STORIES, "--out=run")[0] == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    result = command(pretrain, *TINY, "--corpus=nowhere.txt", "--out=run", "--overwrite")
    assert_one_line(result, "nowhere.txt")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert command(pretrain, "--resume=run")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_resume_and_from_refuse_what_they_would_ignore(command):
    assert command(pretrain, *STORIES, "--out=run")[0] == 0
    result = command(pretrain, "--resume=run", "--learning-rate=1", "--size=tiny")
    assert_one_line(result, "--learning-rate, --size")
    assert_one_line(command(pretrain, "--from=run", "--n-layers=3", "--out=new"), "--n-layers")
    assert_one_line(command(pretrain, "--resume=nothing"), "nothing", "no run to resume")
    assert_one_line(command(pretrain, "--from=nothing", "--out=new"), "nothing")


def test_a_new_run_starts_from_the_weights_of_another(command, tmp_path):
    assert command(pretrain, *STORIES, "--out=old", "--learning-rate=1e-2")[0] == 0
    options = ["--corpus=stories", "--max-bytes=50000", "--steps=1", "--batch-size=2"]
    code, _, err = command(
        pretrain, "--from=old", *options, "--learning-rate=1e-9", "--out=new", "--windows=documents"
    )
    assert code == 0, err
    from llm_explainer import load_checkpoint
    from llm_explainer.tree import flatten

    (old, old_tokenizer), (new, new_tokenizer) = load_checkpoint("old"), load_checkpoint("new")
    assert new_tokenizer.vocab == old_tokenizer.vocab
    for name, array in flatten(new.parameters()).items():
        np.testing.assert_allclose(array, flatten(old.parameters())[name], atol=1e-7)


def test_a_learning_rate_that_explodes(command, tmp_path):
    result = command(
        pretrain, *STORIES, "--out=run", "--steps=300", "--learning-rate=1e12", "--clip-norm=0"
    )
    assert result[0] == 2
    assert "first not finite" in result[2]
    assert (tmp_path / "run" / "last" / "model.safetensors").exists()
    assert (tmp_path / "run" / "loss.png").exists()


@pytest.mark.parametrize("where", ["file/run", "/proc/run"])
def test_a_folder_that_cannot_be_written(command, tmp_path, where):
    (tmp_path / "file").write_text("")
    assert_one_line(command(pretrain, *STORIES, f"--out={where}"), "cannot write", where)


@pytest.mark.parametrize("limit", [20_000, 300_000], ids=["token file", "checkpoint"])
def test_a_full_disk(tmp_path, limit):
    """A limit on the size of files stands in for the disk: the same error from the same call."""
    done = subprocess.run(
        # -B: bytecode that the limit cut short would stay, and stop whoever loads it next.
        [sys.executable, "-B", str(ROOT / "train_pretrain.py"), *STORIES, "--out=run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "File too large" in errors[0]
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.glob("run/step-*"))


def test_checkpoints_that_are_missing_or_foreign(command, tmp_path):
    assert_one_line(command(generate, "nowhere", "--prompt=x"), "nowhere", "does not exist")
    assert_one_line(command(generate, "--prompt=x"), "run_demo.py quick")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "bert" / "model.safetensors").write_bytes(b"")
    assert_one_line(command(generate, "bert", "--prompt=x"), "bert")


def test_prompts_and_sampling(command):
    assert command(pretrain, *STORIES, "--out=run")[0] == 0
    code, out, _ = command(generate, "run", "--prompt=", "--max-tokens=5")
    assert (code, out.count("<|endoftext|>")) == (0, 0)
    long = "word " * 200
    assert_one_line(command(generate, "run", f"--prompt={long}"), "64", "windowed")
    assert command(generate, "run", f"--prompt={long}", "--windowed", "--max-tokens=3")[0] == 0
    assert_one_line(command(generate, "run", "--prompt=x", "--temperature=-1"), "-1")
    assert_one_line(command(generate, "run", "--prompt=x", "--top-k=0"), "--top-k", "0")


def test_no_network_for_a_download(command, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_EXPLAINER_CACHE", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = command(download, "shakespeare")
    assert code == 2
    assert "--corpus stories" in err
    assert_one_line(command(download, "wikipedia"), "'wikipedia'", "shakespeare")
    code, out, _ = command(pretrain, "--corpus=auto", "--max-bytes=60000", *TINY, "--out=run")
    assert code == 0
    assert "stories" in out
    result = command(pretrain, "--corpus=shakespeare", *TINY, "--out=other")
    assert result[0] == 2


def test_presets_that_cannot_be_shown(command):
    assert_one_line(command(presets, "--family=bert"), "'bert'")
    assert_one_line(command(presets, "--batch-size=0"), "0")
    assert_one_line(command(presets, "--backend=abacus"), "'abacus'")


@pytest.mark.parametrize(
    "typed", [["--steps=many"], ["--nonsense=1"], ["--bias=maybe"], ["--seed"]]
)
def test_options_that_do_not_parse(command, typed):
    assert_one_line(command(pretrain, *typed), typed[0].split("=")[0])


@pytest.fixture
def several():
    """Return an app of several commands, as ``run_demo.py`` is one."""
    app = typer.Typer()
    app.command()(quick)

    @app.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    return app


def test_commands_and_options_that_there_are_not(command, several):
    assert_one_line(command(several, "qick"), "'qick'", "'quick'", "--help")
    assert_one_line(command(several, "quick", "--step=3"), "--step", "--steps", "quick --help")


def test_an_app_alone_shows_its_help(command, several):
    code, out, err = command(several)
    assert (code, err) == (0, "")
    assert "quick" in out


def test_ctrl_c_ends_quietly(command, several):
    code, _, err = command(several, "interrupted")
    assert code == 130
    assert "Traceback" not in err


def test_debug_shows_the_traceback():
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_pretrain.py"), "--steps=0", "--debug"],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "ConfigError" in done.stderr
