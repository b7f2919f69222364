"""Nested trees and their dotted names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.tree import flatten, unflatten

NESTED = {"embed": {"weight": 1}, "blocks": [{"w": 2, "b": 3}, {"w": 4, "b": 5}], "scale": 6}
FLAT = {
    "embed.weight": 1,
    "blocks.0.w": 2,
    "blocks.0.b": 3,
    "blocks.1.w": 4,
    "blocks.1.b": 5,
    "scale": 6,
}

names = st.text("abcdefgh_", min_size=1, max_size=4)
trees = st.dictionaries(
    names,
    st.recursive(
        st.integers(),
        lambda node: (
            st.dictionaries(names, node, min_size=1, max_size=3)
            | st.lists(node, min_size=1, max_size=3)
        ),
        max_leaves=10,
    ),
    max_size=4,
)


def test_names_are_dotted_and_in_order() -> None:
    assert list(flatten(NESTED).items()) == list(FLAT.items())


def test_unflatten_takes_the_shape_of_another_tree() -> None:
    shuffled = dict(reversed(FLAT.items()))
    assert unflatten({**shuffled, "unknown": 7}, like=NESTED) == NESTED


@given(tree=trees)
def test_flat_and_back_is_the_same_tree(tree: dict[str, Any]) -> None:
    assert unflatten(flatten(tree), like=tree) == tree


def test_a_missing_name_is_an_error() -> None:
    flat = {name: value for name, value in FLAT.items() if name != "blocks.1.b"}
    with pytest.raises(KeyError, match=r"blocks\.1\.b"):
        unflatten(flat, like=NESTED)
