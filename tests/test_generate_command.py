"""The generate command: from a prompt, a pipe, in a session; and what a user sees when it fails."""

import io
import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import typer
from command_line import FakeInput, command_runner
from safetensors.numpy import load_file, save_file

from llm_explainer.backend import load_backend
from llm_explainer.checkpoint import save_checkpoint
from llm_explainer.commands.app import run
from llm_explainer.commands.generate import generate
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.generation import generate as stream
from llm_explainer.generation import generate_batch
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.training.runs.names import newest_run

TOKENIZER = BPETokenizer.train(["Once upon a time a fox met a hen. The hen sang. " * 4], 280)
PROGRAM = """
from llm_explainer.commands.app import run
from llm_explainer.commands.generate import generate
run(generate)
"""


@pytest.fixture(scope="module")
def model():
    config = ModelConfig.preset("tiny", vocab_size=TOKENIZER.vocab_size, context_length=64)
    return load_backend("numpy").GPT(config, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("work")
    save_checkpoint(folder / "runs" / "story", model, TOKENIZER)
    return folder


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """Run the command as the shell would; return its exit code, stdout and stderr."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    return partial(command_runner(folder, monkeypatch, capsys), generate)


def text_of(model, prompt, **options):
    return "".join(stream(model, TOKENIZER, prompt, **options))


def test_a_prompt_is_shown_with_its_continuation(command, model):
    options = {"max_tokens": 12, "seed": 4, "top_k": 50, "temperature": 1.1}
    flags = ["--max-tokens", "12", "--seed", "4", "--top-k", "50", "--temperature", "1.1"]
    code, out, err = command("runs/story", "--prompt", "The hen", *flags)
    assert (code, out) == (0, "The hen" + text_of(model, "The hen", **options) + "\n")
    assert "12 tokens in " in err
    assert "tokens/s" in err
    assert command("runs/story", "-p", "The hen", "--no-echo", *flags)[1] == out[len("The hen") :]


@pytest.mark.parametrize("line_break", ["", "\n", "\r\n"])
def test_a_pipe_gives_the_prompt_and_an_empty_one_starts_a_document(command, model, line_break):
    prompt = " Once\nupon é \n"
    code, out, _ = command(stdin=FakeInput((prompt + line_break).encode() if line_break else b""))
    expected = prompt if line_break else ""
    assert (code, out) == (0, expected + text_of(model, expected) + "\n")


def test_a_terminal_without_a_character_shows_a_question_mark(command, monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert command("-p", "für", "--max-tokens", "0")[0] == 0
    assert narrow.buffer.getvalue() == b"f?r\n"


def test_samples_are_those_of_a_batch(command, model):
    code, out, err = command("-p", "Once", "--samples", "3", "--max-tokens", "9")
    texts = generate_batch(model, TOKENIZER, ["Once"] * 3, max_tokens=9)
    assert (code, out) == (0, "---\n".join(f"Once{text}\n" for text in texts))
    assert "3 texts in " in err


def test_stop_texts_may_be_many_and_have_line_breaks(command, model):
    full = text_of(model, "Once", max_tokens=40)
    stops = ["--stop", "\\n", "--stop", full[5:7]]
    out = command("-p", "Once", "--max-tokens", "40", *stops)[1]
    cut = min(full.find(stop) for stop in ("\n", full[5:7]) if stop in full)
    assert out == "Once" + full[:cut] + "\n"


def test_a_long_prompt_is_windowed_on_request_with_a_notice(command):
    code, out, err = command("-p", "x" * 100, "--windowed", "--max-tokens", "3")
    assert (code, out[:100]) == (0, "x" * 100)
    assert "the prompt has 100 tokens; the model reads only the last 64 of them" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "-1"], "temperature is -1.0; it takes a number of 0 or more"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--top-k", "0"], "--top-k is 0; it takes a whole number from 1 on"),
        (["--top-p", "0"], "--top-p is 0.0"),
        (["--min-p", "2"], "--min-p is 2.0"),
        (["--repetition-penalty", "0"], "--repetition-penalty is 0.0"),
        (["--max-tokens", "-1"], "--max-tokens is -1"),
        (["--seed", "-1"], "seed is -1"),
        (["--stop", ""], "stop is [''];"),
        (["--samples", "0"], "--samples is 0; it takes 1 to 100000"),
        (["--samples", "2", "-i"], "--samples 2 does not go with --interactive"),
        (["--prompt", "x" * 65], "the prompt has 65 tokens and the model's context only 64"),
        (["nowhere"], "nowhere"),
        (["--backend", "abacus"], "abacus"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(command, arguments, message):
    code, out, err = command(*arguments)
    errors = [line for line in err.splitlines() if not line.startswith("model: ")]
    assert (code, out, len(errors)) == (2, "", 1)
    assert errors[0].startswith("error: ")
    assert message in errors[0]


def test_a_pipe_that_is_no_utf8_is_refused(command):
    code, _, err = command(stdin=FakeInput(b"abc\xff"))
    assert (code, err) == (
        2,
        "error: the text from the pipe is no UTF-8 (byte 0xff at 3); convert it first\n",
    )


def test_no_run_says_how_to_get_one(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command("-p", "Once")
    assert code == 2
    assert "uv run run_demo.py quick" in err


def test_the_newest_run_is_the_default(tmp_path):
    for name, seconds in [("a", 100), ("b", 300), ("c", 200)]:
        (tmp_path / name / "step").mkdir(parents=True)
        (tmp_path / name / "step" / "config.json").write_text("{}")
        (tmp_path / name / "config.json").symlink_to("step/config.json")
        os.utime(tmp_path / name / "step" / "config.json", (seconds, seconds))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "config.json").symlink_to("gone/config.json")
    assert newest_run(tmp_path) == tmp_path / "b"
    with pytest.raises(CheckpointError, match="no trained model"):
        newest_run(tmp_path / "d")


def test_the_newest_pre_training_run_is_a_base(tmp_path):
    def run(name, seconds, kind, corpus, read, context):
        (tmp_path / name).mkdir()
        record = {"kind": kind, "corpus": f"{read}: 1 MB", "data": {"corpus": corpus}}
        record["model"] = {"config": {"context_length": context}}
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        (tmp_path / name / "config.json").write_text("{}")
        os.utime(tmp_path / name / "config.json", (seconds, seconds))

    run("a", 100, "pretrain", "auto", "stories", 192)
    run("b", 200, "pretrain", "plays.txt", "plays.txt", 64)
    run("c", 300, "finetune-lora", "stories", "stories", 192)
    run("d", 250, "pretrain", "stories", "stories", 128)
    assert newest_run(tmp_path) == tmp_path / "c"
    assert newest_run(tmp_path, pretrained=True) == tmp_path / "d"
    assert newest_run(tmp_path, pretrained=True, corpus="stories") == tmp_path / "d"
    assert newest_run(tmp_path, pretrained=True, corpus="stories", context=192) == tmp_path / "a"
    with pytest.raises(CheckpointError, match="no model that was pre-trained on poems"):
        newest_run(tmp_path, pretrained=True, corpus="poems")


def test_debug_shows_the_traceback(command, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["generate", "--seed", "-1", "--debug"])
    with pytest.raises(Exception, match="seed is -1"):
        run(generate)


def run_failing(error, monkeypatch, arguments=()):
    def fail():
        raise error

    app = typer.Typer()
    app.command()(fail)
    app.command("other")(lambda: None)
    monkeypatch.setattr(sys, "argv", ["program", "fail", *arguments])
    with pytest.raises(SystemExit) as caught:
        run(app)
    return caught.value.code


def test_errors_of_the_system_are_one_line_too(monkeypatch, capsys):
    assert run_failing(OSError(28, "No space left on device", "a\nb"), monkeypatch) == 2
    assert capsys.readouterr().err == "error: a\\nb: No space left on device\n"


def test_errors_of_several_lines_become_one(monkeypatch, capsys):
    assert run_failing(ConfigError("first\n  second"), monkeypatch) == 2
    assert capsys.readouterr().err == "error: first second\n"


def test_interrupts_exit_quietly_with_130(monkeypatch, capsys):
    assert run_failing(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == ""


def test_bugs_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run_failing(ZeroDivisionError(), monkeypatch)


def test_a_reader_that_leaves_is_no_error(folder):
    arguments = ["--prompt", "Once", "--max-tokens", "100000", "--windowed", "--samples", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "runs/story", *arguments, "--stop", "never there"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        process.wait()
        assert b"Traceback" not in process.stderr.read()


def test_help_loads_nothing_heavy():
    program = PROGRAM.replace("run(generate)", "import sys; sys.argv = ['x', '--help']") + (
        "try:\n    run(generate)\nexcept SystemExit as leaving:\n"
        "    heavy = {'numpy', 'matplotlib', 'mlx', 'torch', 'regex'} & set(sys.modules)\n"
        "    sys.exit(f'{leaving.code} {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.stderr.decode().strip() == "0 set()"
    assert b"--temperature" in done.stdout
    assert b"Examples:" in done.stdout


def test_a_session_opens_on_a_terminal_and_ends_with_its_input(command, model):
    terminal = FakeInput(b"Once\n/quit\n", terminal=True)
    code, out, err = command("--max-tokens", "8", stdin=terminal)
    assert code == 0
    assert text_of(model, "Once", max_tokens=8) in out
    assert "/help" in err


def test_a_scripted_session_starts_with_the_prompt(command, model):
    flags = ["-i", "-p", "Once", "--max-tokens", "8"]
    code, out, _ = command(*flags, stdin=FakeInput(b"The hen"))
    assert code == 0
    assert out.startswith(text_of(model, "Once", max_tokens=8) + "\n")
    assert out.count("\n") >= 2


def test_weights_in_half_precision_are_noted_in_one_line(tmp_path, model):
    path = save_checkpoint(tmp_path / "half", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    weights = path / "model.safetensors"
    save_file({n: a.astype(np.float16) for n, a in load_file(weights).items()}, weights)
    arguments = [str(path), "--prompt", "Once", "--max-tokens", "3", "--no-echo"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True)
    assert done.returncode == 0
    assert b"float16" not in done.stdout
    note = f"note: the weights in {path} are float16; they are used as float32"
    assert done.stderr.decode().splitlines()[0] == note
    assert len(done.stderr.splitlines()) == 2  # the other one says how fast it was
