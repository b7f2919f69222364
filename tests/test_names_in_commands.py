"""Every command with folders whose names are hard on shells and consoles."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from command_line import FakeInput, command_runner
from consoles import NOT_UTF8, console_of, shown

from llm_explainer.commands import quick as quick_module
from llm_explainer.commands import training
from llm_explainer.commands.diff import diff
from llm_explainer.commands.download import download
from llm_explainer.commands.encode_corpus import encode_corpus
from llm_explainer.commands.generate import generate
from llm_explainer.commands.mac_accel import mac_accel
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.profile import profile
from llm_explainer.commands.tokenize import tokenize
from llm_explainer.commands.train_tokenizer import train_tokenizer
from llm_explainer.data.download import SHAKESPEARE
from llm_explainer.spelling import spelled_out
from llm_explainer.training.pretrain import PretrainSettings
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.trainer import TrainResult

TEXT = "the fox went home and sang near a river with old green bells at night.\n"
SMALL = [
    *("--size=tiny", "--vocab-size=300", "--batch-size=2", "--backend=numpy", "--steps=2"),
    *("--eval-every=0", "--eval-windows=2", "--sample-every=0"),
]
NAMES = ["exp[lr=1e-3]", "x[/b]", "a:fire:b", "cost_$5 [dim]", "中文", NOT_UTF8, "a\x1b[31mb"]
HARD = ["x[/b]", *(["exp[lr=1e-3]"] if os.environ.get("CAMPAIGNS") else [])]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, to be copied to where a test wants it."""
    folder = tmp_path_factory.mktemp("trained")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setattr("sys.argv", ["", *SMALL, "--corpus=text.txt", "--out=run"])
    (folder / "text.txt").write_text(150 * TEXT)
    from llm_explainer.commands.app import run

    with pytest.raises(SystemExit) as ended:
        run(pretrain)
    patch.undo()
    assert ended.value.code == 0
    return folder / "run"


def write_text(folder: Path, name: str = "text.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(150 * TEXT)
    return Path(name)


def commands_in(output: str) -> list[list[str]]:
    """The commands that were shown, as a shell has them."""
    lines = [line.partition("uv run ")[2] for line in output.splitlines() if "uv run " in line]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_training_and_generating(name, command, tmp_path):
    write_text(tmp_path)
    code, out, err = command(pretrain, *SMALL, "--corpus=text.txt", "--out", name)
    assert (code, err) == (0, "")
    assert f"checkpoint  {spelled_out(name)}/step-000002\n" in out
    if spelled_out(name) == name:  # the others are written as only bash reads them
        assert commands_in(out) == [["run_demo.py", "generate", name]]
        if " " not in name:
            assert out.endswith(f"generate {name}\n")  # as it is called
    code, out, _ = command(generate, name, "--prompt=the", "--max-tokens=2")
    assert code == 0
    assert out.startswith("the")


@pytest.mark.parametrize("name", HARD)
def test_going_on_with_a_run(name, command, tmp_path, trained):
    shutil.copytree(trained, tmp_path / name, symlinks=True)
    write_text(tmp_path, f"{name}.txt")
    code, out, _ = command(pretrain, "--resume", name)
    assert (code, out.splitlines()[0]) == (0, f"resuming {name} after step 2")
    small = ["--steps=1", "--eval-windows=2", "--backend=numpy"]
    other = [f"--corpus={name}.txt", f"--out={name}-2", *small]
    code, out, err = command(pretrain, "--from", name, *other)
    assert code == 0, err
    assert f"{name}.txt: " in out
    assert commands_in(out)[-1] == ["run_demo.py", "generate", f"{name}-2"]


@pytest.mark.parametrize("name", HARD)
def test_stopping_a_run(name, monkeypatch):
    """A stop that comes while it trains, whose way on can be pasted."""
    stopped = TrainResult(1, False, Path(name) / "step-000001", None, None)
    monkeypatch.setattr(
        training, "train_with_view", lambda run, console: (stopped, training.Ending())
    )
    console = console_of(20, live=False)
    with pytest.raises(typer.Exit) as ended:
        training.train_and_report(SimpleNamespace(folder=RunFolder(name)), console)
    assert ended.value.exit_code == 130
    assert commands_in(shown(console)) == [["train_pretrain.py", "--resume", name]]


@pytest.mark.parametrize("name", HARD)
def test_the_newest_run_is_named(name, command, tmp_path, trained):
    shutil.copytree(trained, tmp_path / "runs" / name.replace("/", ""), symlinks=True)
    code, _, err = command(generate, "--prompt=the", "--max-tokens=2")
    assert code == 0
    assert err.startswith(f"model: runs/{name.replace('/', '')}\n")


def test_quick(command, monkeypatch):
    name = "x[/b] [lr=1e-3]"
    settings = quick_module.quick_settings

    def with_less_text(*arguments: Any) -> PretrainSettings:
        chosen = settings(*arguments)
        less = dataclasses.replace(chosen.data, max_bytes=100_000, vocab_size=300)
        return dataclasses.replace(chosen, data=less)

    monkeypatch.setattr(quick_module, "quick_settings", with_less_text)
    code, out, _ = command(quick_module.quick, "--steps=2", "--backend=numpy", "--out", name)
    assert code == 0
    assert ["run_demo.py", "generate", name, "--prompt", "Once"] in commands_in(out)


def test_mac_accel(command, tmp_path):
    name = "x[/b] [lr=1e-3]"
    corpus = write_text(tmp_path, f"{name}.txt")
    options = ["--backend=numpy", "--steps=2", "--data-size=5000", f"--corpus={corpus}"]
    code, out, _ = command(mac_accel, *options, "--out", name)
    assert code == 0
    assert f"2. {corpus}: " in out
    assert f"picture     {name}/comparison.png\n" in out
    assert all(any(name in word for word in words) for words in commands_in(out))


def test_profile(command):
    name = "x[/b] [lr=1e-3]"
    code, out, _ = command(profile, "--size=tiny", "--seconds=0.2", "--out", name)
    assert code == 0
    assert f"picture     {name}/profile.png\n" in out


@pytest.mark.parametrize("name", HARD)
def test_tokenizers_and_token_files(name, command, tmp_path):
    corpus = write_text(tmp_path, f"{name}.txt")
    code, out, err = command(train_tokenizer, corpus, "--vocab-size=300", "--out", name)
    assert code == 0, err
    assert f"saved          {name}" in out
    assert commands_in(out)[0][-1] == name
    code, out, _ = command(encode_corpus, corpus, "--tokenizer", name, "--out", f"{name}-tokens")
    assert code == 0
    assert commands_in(out)[0][2].startswith(f"{name}-tokens/")
    both = ["--tokenizer", name, "--compare", f"{name}/tokenizer.json"]
    code, out, _ = command(tokenize, "--file", corpus, *both, "--info", "--tokens=20", "--rows=3")
    assert code == 0
    assert name in out
    code, out, _ = command(tokenize, "--tokenizer", name, "--replay", "[/b] fox")
    assert (code, out.splitlines()[0].partition(":")[0]) == (0, f"merges of {name}")


def test_diff(command, tmp_path, trained):
    name = "x[/b] [lr=1e-3]"
    pytest.importorskip("mlx.core", exc_type=ImportError)
    shutil.copytree(trained, tmp_path / name, symlinks=True)
    code, out, _ = command(diff, "--checkpoint", name, "--batch-size=1", "--length=8")
    assert code == 0
    assert name in out


@pytest.mark.parametrize("name", HARD)
def test_download(name, command, tmp_path, monkeypatch):
    cache = tmp_path / name
    cache.mkdir(parents=True)
    (cache / SHAKESPEARE.name).write_bytes(bytes(SHAKESPEARE.size))  # which makes it a known one
    monkeypatch.setenv("LLM_EXPLAINER_CACHE", str(cache))
    code, out, _ = command(download, "shakespeare")
    assert (code, out) == (0, f"{SHAKESPEARE.name}\nalready here: {cache}/{SHAKESPEARE.name}\n")


@pytest.mark.parametrize("name", [*HARD, NOT_UTF8, "a\x1b[31m  b"], ids=ascii)
@pytest.mark.parametrize(
    ("function", "option"),
    [
        (generate, None),
        (pretrain, "--resume"),
        (pretrain, "--from"),
        (pretrain, "--corpus"),
        (mac_accel, "--corpus"),
        (train_tokenizer, None),
        (tokenize, "--file"),
        (tokenize, "--tokenizer"),
        (encode_corpus, "--tokenizer"),
        (download, None),
    ],
)
def test_what_is_not_there_is_named_in_one_line(name, function, option, command):
    backend = ["--backend=numpy"] if function is mac_accel else []
    words = [name] if option is None else [option, name]
    code, _, err = command(function, *words, *backend, stdin=FakeInput(b"text"))
    assert code == 2
    line = err.strip()
    assert line.startswith("error: ")
    assert line.isprintable()
    assert spelled_out(name) in line or ascii(name)[1:-1].replace("\\\\", "\\") in line
