"""The lists of mutations fit the sources; the campaign itself is run by hand (mutations.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutations import read_mutations

LISTS = sorted(Path(__file__).parent.glob("mutations_*.txt"))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_line_that_is_to_be_broken_stands_in_the_sources_once(path: Path) -> None:
    mutations = list(read_mutations(path))
    assert len(mutations) > 80
    assert [misfit for mutation in mutations if (misfit := mutation.misfit())] == []
