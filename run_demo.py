"""The commands of llm-explainer: `uv run run_demo.py` shows what there is."""

import typer

from llm_explainer.commands.app import run
from llm_explainer.commands.ask import ask
from llm_explainer.commands.chat import chat
from llm_explainer.commands.diff import diff
from llm_explainer.commands.download import download
from llm_explainer.commands.encode_corpus import encode_corpus
from llm_explainer.commands.evaluate import evaluate
from llm_explainer.commands.export import export
from llm_explainer.commands.finetune_data import finetune_data
from llm_explainer.commands.full import full
from llm_explainer.commands.generate import generate
from llm_explainer.commands.gradcheck import gradcheck
from llm_explainer.commands.learn import learn
from llm_explainer.commands.mac_accel import mac_accel
from llm_explainer.commands.merge import merge
from llm_explainer.commands.presets import presets
from llm_explainer.commands.profile import profile
from llm_explainer.commands.quick import quick
from llm_explainer.commands.sweep import EXTRA, sweep
from llm_explainer.commands.tokenize import tokenize
from llm_explainer.commands.trace import trace
from llm_explainer.commands.train_tokenizer import train_tokenizer
from llm_explainer.commands.verify_resume import verify_resume

CHAPTERS = {
    tokenize: 1,
    train_tokenizer: 1,
    encode_corpus: 1,
    download: 1,
    gradcheck: 2,
    presets: 2,
    quick: 8,
    trace: 7,
    generate: 9,
    finetune_data: 10,
    full: 10,
    ask: 10,
    chat: 10,
    merge: 10,
    profile: 12,
    diff: 12,
    mac_accel: 12,
}
"""Where the Tutorial explains what a command does."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="A complete language model, from tokenizer to text, that you can read to the bottom.",
    epilog="Begin with `uv run run_demo.py quick`, and `learn` how it works. To train on your own "
    "text: `uv run train_pretrain.py --help`. --debug shows the traceback of an error.",
)
for command in (
    quick,
    full,
    learn,
    generate,
    chat,
    ask,
    merge,
    export,
    presets,
    trace,
    gradcheck,
    verify_resume,
    profile,
    diff,
    mac_accel,
    download,
    tokenize,
    train_tokenizer,
    encode_corpus,
    finetune_data,
):
    chapter = CHAPTERS.get(command)
    more = f"How it works: `uv run run_demo.py learn {chapter}`." if chapter else None
    app.command(epilog=more)(command)
app.command("eval")(evaluate)
app.command(context_settings=EXTRA)(sweep)

if __name__ == "__main__":
    run(app)
