"""Nested dicts and lists of arrays, and their flat form with dotted names."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]
"""Nested like a model: ``{"blocks": [{"attention": {"qkv_proj": {"weight": array}}}]}``."""


def flatten(tree: Tree | list[Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{dotted name: array}`` in the order of the tree.

    >>> flatten({"a": {"w": 1}, "blocks": [{"w": 2}, {"w": 3}]})
    {'a.w': 1, 'blocks.0.w': 2, 'blocks.1.w': 3}
    """
    items = enumerate(tree) if isinstance(tree, list) else tree.items()
    flat: dict[str, Any] = {}
    for key, value in items:
        if isinstance(value, (dict, list)):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def unflatten(flat: dict[str, Any], like: Tree) -> Tree:
    """Return ``flat``'s values nested as ``like`` is.

    Raises:
        KeyError: a name of ``like`` is missing in ``flat``.
    """

    def nest(node: Any, prefix: str) -> Any:
        if isinstance(node, dict):
            return {key: nest(value, f"{prefix}{key}.") for key, value in node.items()}
        if isinstance(node, list):
            return [nest(value, f"{prefix}{index}.") for index, value in enumerate(node)]
        return flat[prefix[:-1]]

    nested: Tree = nest(like, "")
    return nested
