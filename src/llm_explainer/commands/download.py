"""The command that fetches a corpus into the cache, so that training can go offline."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from typer import Argument


def download(
    name: Annotated[
        str, Argument(help="shakespeare (1.1 MB), verdict (20 KB) or tinystories (2.2 GB)")
    ],
) -> None:
    """Download a corpus and check it; a download that broke off goes on where it stopped.

    Files are kept in the user's cache folder (LLM_EXPLAINER_CACHE names another one) and used by
    `train_pretrain.py --corpus shakespeare`, `--corpus verdict` (The Verdict, the short story of
    the Tutorial's first chapter) or `--corpus tinystories`.

    Examples:

      uv run run_demo.py download shakespeare

      uv run run_demo.py download tinystories
    """
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.download import DOWNLOADS, is_cached
    from llm_explainer.data.download import download as fetch
    from llm_explainer.errors import CorpusError

    if name not in DOWNLOADS:
        raise CorpusError(f"nothing to download for {name!r}; choose one of {', '.join(DOWNLOADS)}")
    console = make_console()
    with StageProgress(console, of_bytes=True) as bars:
        for file in DOWNLOADS[name]:
            known = is_cached(file)
            bars.report(file.name, file.size if known else 0, file.size)
            path = fetch(file, progress=partial(bars.report, file.name))
            show(console, f"{'already here' if known else 'checked'}: {path}")
