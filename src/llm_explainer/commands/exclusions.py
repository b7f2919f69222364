"""Options that have no effect beside others: each pair in one table, refused before a command runs.

A command that reads over an option has a user believe that it did something. So what is typed and
cannot matter is an error: one line that says beside what, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_explainer.errors import ConfigError

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Exclusion:
    """Options of a command that have no effect when others have certain values."""

    command: str  # the name of its function
    options: tuple[str, ...]  # by the names of their parameters
    because: str
    when: Callable[[Values], bool]
    example: tuple[str, ...]  # arguments beside which they have none, for tests


_POSITIONS = {"gpt2": "learned", "llama": "rope"}


def _greedy(values: Values) -> bool:
    return bool(values["temperature"] == 0)


def _given(name: str) -> Callable[[Values], bool]:
    return lambda values: values[name] not in (None, False, (), [])


def _missing(name: str) -> Callable[[Values], bool]:
    return lambda values: values[name] in (None, False, (), [])


def _is(name: str, *choices: object) -> Callable[[Values], bool]:
    return lambda values: values[name] in choices


def _of_training(command: str) -> tuple[Exclusion, ...]:
    return (
        Exclusion(
            command,
            ("min_learning_rate",),
            "only the schedules cosine and linear end there",
            _is("schedule", "constant", "inverse_sqrt"),
            ("--schedule=constant",),
        ),
        Exclusion(
            command,
            ("beta2", "eps"),
            "sgd has no squared gradients",
            _is("optimizer", "sgd"),
            ("--optimizer=sgd",),
        ),
        Exclusion(
            command,
            ("patience",),
            "with --eval-every 0 there are no evaluations on the way",
            _is("eval_every", 0),
            ("--eval-every=0",),
        ),
        Exclusion(
            command,
            ("warmup_steps",),
            "the learning rate would not be reached in as many --steps",
            lambda values: (
                values["steps"] is not None and values["warmup_steps"] >= values["steps"]
            ),
            ("--steps=1",),
        ),
    )


def _of_records(command: str, file: str, example: str) -> tuple[Exclusion, ...]:
    return (
        Exclusion(
            command,
            ("stories",),
            "records of your own are the data",
            lambda values: values[file] not in (None, "stories"),
            (example,),
        ),
        Exclusion(
            command,
            ("long_records",),
            "of stories as many questions are asked as the context takes",
            lambda values: values[file] in (None, "stories"),
            (),
        ),
    )


def _of_finetuning(command: str) -> tuple[Exclusion, ...]:
    return (
        *_of_training(command),
        *_of_records(command, "data", "--data=x.jsonl"),
        Exclusion(
            command,
            ("validation_data", "val_fraction"),
            "stories are judged by other stories",
            _is("data", "stories"),
            (),
        ),
        Exclusion(
            command,
            ("val_fraction",),
            "--validation-data is what the model is judged by",
            _given("validation_data"),
            ("--data=x.jsonl", "--validation-data=y.jsonl"),
        ),
    )


EXCLUSIONS = (
    Exclusion(
        "generate",
        ("top_k", "top_p", "min_p", "seed"),
        "--temperature 0 always takes the likeliest token",
        _greedy,
        ("--temperature=0",),
    ),
    Exclusion(
        "generate",
        ("samples",),
        "with --temperature 0 all samples would be the same text",
        lambda values: _greedy(values) and values["samples"] > 1,
        ("--temperature=0",),
    ),
    Exclusion(
        "generate",
        ("echo",),
        "a session shows no prompts",
        _given("interactive"),
        ("--interactive",),
    ),
    Exclusion(
        "generate",
        ("windowed",),
        "a session always forgets the start of what grows too long",
        _given("interactive"),
        ("--interactive",),
    ),
    Exclusion(
        "pretrain",
        ("corpus", "max_bytes", "train_bytes", "val_fraction"),
        "--train-data and --val-data are the text",
        lambda values: None not in (values["train_data"], values["val_data"]),
        ("--train-data=a.npy", "--val-data=b.npy"),
    ),
    Exclusion(
        "pretrain",
        ("qkv_bias",),
        "with biases everywhere these are among them",
        lambda values: values["bias"] if values["bias"] is not None else values["family"] == "gpt2",
        ("--bias",),
    ),
    Exclusion(
        "pretrain",
        ("rope_theta",),
        "it is a setting of --position rope",
        lambda values: (values["position"] or _POSITIONS.get(values["family"])) != "rope",
        ("--family=gpt2",),
    ),
    *_of_training("pretrain"),
    *_of_finetuning("finetune_full"),
    *_of_finetuning("finetune_lora"),
    *_of_records("finetune_data", "file", "x.jsonl"),
    Exclusion("tokenize", ("step",), "it goes with --replay", _missing("replay"), ("some text",)),
    Exclusion(
        "tokenize",
        ("special", "tokens", "rows"),
        "without a text only --info or --replay is shown",
        lambda values: (
            not (values["text"] or values["file"] or values["compare"])
            and bool(values["info"] or values["replay"])
        ),
        ("--info",),
    ),
    Exclusion(
        "train_tokenizer",
        ("special_token",),
        "--no-special-tokens leaves out all of them",
        _given("no_special_tokens"),
        ("stories", "--no-special-tokens"),
    ),
    Exclusion("train_tokenizer", ("name",), "--out is the folder", _given("out"), ("--out=x",)),
    Exclusion("trace", ("against",), "it goes with --why", _missing("why"), ("--prompt=x",)),
    Exclusion("gradcheck", ("lora",), "--dora checks adapters, too", _given("dora"), ("--dora",)),
    Exclusion(
        "evaluate",
        ("questions",),
        "--data and --corpus are measured instead of questions",
        lambda values: values["data"] is not None or values["corpus"] is not None,
        ("--data=x.jsonl",),
    ),
    Exclusion(
        "client",
        ("prompt", "system", "max_tokens", "temperature", "seed"),
        "--tokenize shows the tokens of a text",
        _given("tokenize"),
        ("127.0.0.1", "--tokenize=x"),
    ),
    Exclusion(
        "client",
        ("system",),
        "--prompt is continued, and is no conversation",
        _given("prompt"),
        ("127.0.0.1", "--prompt=x"),
    ),
    Exclusion(
        "learn",
        ("report", "html", "sheets", "check"),
        "--exercise writes one exercise, or grades it",
        _given("exercise"),
        ("4", "--exercise=2"),
    ),
    Exclusion(
        "learn",
        ("html", "sheets", "check"),
        "--report shows the exercises",
        _given("report"),
        ("--report",),
    ),
    Exclusion(
        "learn",
        ("sheets", "check"),
        "--html writes pages as they are",
        _given("html"),
        ("--html=x",),
    ),
    Exclusion(
        "learn", ("check",), "--sheets writes pages as they are", _given("sheets"), ("--sheets=x",)
    ),
)


def refuse_without_effect(command: str, values: Values, typed: Iterable[str]) -> None:
    """Refuse what was typed and has no effect beside the rest.

    Args:
        command: the name of the command's function.
        values: of all its parameters.
        typed: the names of those that were given.

    Raises:
        ConfigError: names the first such option, and why.
    """
    typed = set(typed)
    for exclusion in EXCLUSIONS:
        found = [name for name in exclusion.options if name in typed]
        if exclusion.command == command and found and exclusion.when(values):
            flag = "--" + found[0].replace("_", "-")
            raise ConfigError(f"{flag} has no effect: {exclusion.because}; leave it out")
