"""Where chat templates run: Jinja's immutable sandbox, set up as transformers sets it up.

The settings, functions and filters are those of ``chat_template_utils.py`` there. Only
``chat_template`` imports this module, when there is a conversation: jinja2 is an extra.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from llm_explainer.tokenizer.chat_limits import (
    MOST_STEPS,
    Budget,
    counted,
    counted_test,
    too_many_steps,
)

MARK = "_mark_generation"
"""What the sandbox's tag calls with the text that stands in it."""

_BUDGET: ContextVar[Budget] = ContextVar("budget")
_LONGER = {"translate", "maketrans", "expandtabs"}  # methods by which a text grows, of no use here


class GenerationTag(Extension):
    """``{% generation %}...{% endgeneration %}`` stands around what the assistant wrote."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja's own extensions have it

    def parse(self, parser: Any) -> nodes.Node:
        """Read one block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_marked", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _marked(self, context: Context, caller: Callable[[], str]) -> str:
        text = caller()
        context[MARK](text)
        return text


class Counting(NodeTransformer):
    """Puts our filters around what Jinja compiles to plain Python, so that it is counted too."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja looks for this name
        """Count each time of a loop by how much stands in it."""
        self.generic_visit(node)
        n_nodes = sum(1 for _ in node.find_all(nodes.Node))
        n_chars = sum(len(each.data) for each in node.find_all(nodes.TemplateData))
        times = [nodes.Const(1 + n_nodes // 32), nodes.Const(n_chars)]
        node.iter = _filtered(node.iter, "_loop", times)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Put texts together by a filter of ours."""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        """Count what is compared."""
        self.generic_visit(node)
        node.expr = _filtered(node.expr, "_read")
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, "_read")
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        """Count what becomes the key of a dictionary."""
        self.generic_visit(node)
        node.key = _filtered(node.key, "_read")
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Count parts of texts and lists."""
        self.generic_visit(node)
        return _filtered(node, "_made") if isinstance(node.arg, nodes.Slice) else node


def _filtered(node: Any, name: str, arguments: list[Any] | None = None) -> nodes.Expr:
    if isinstance(node, nodes.Const):
        return node
    return nodes.Filter(node, name, arguments or [], [], None, None, lineno=node.lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, where a rendering takes no more than its budget has."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationTag, loopcontrols],
            finalize=_written,
        )
        del self.globals["lipsum"]
        self.globals["range"] = _range
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.filters["tojson"] = _tojson
        filters, tests = dict[str, Any](self.filters), dict[str, Any](self.tests)
        self.filters = {name: counted(name, filters[name], _BUDGET.get) for name in filters}
        self.tests = {name: counted_test(tests[name], _BUDGET.get) for name in tests}
        self.filters["_loop"] = lambda items, *times: _BUDGET.get().loop(items, *times)
        self.filters["_made"] = lambda value: _BUDGET.get().made(value)
        self.filters["_read"] = _read
        self.filters["_concat"] = _concat

    def _generate(self, source: nodes.Template, *names: Any, **options: Any) -> str:
        return super()._generate(Counting().visit(source), *names, **options)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may have an attribute."""
        if isinstance(obj, str) and attr in _LONGER:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item; a key has a hash of all that is in it."""
        if isinstance(argument, tuple):
            _BUDGET.get().written(argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator makes of two values."""
        budget = _BUDGET.get()
        budget.operator(operator, left, right)
        return budget.made(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Return what a function, a method or a macro returns."""
        budget = _BUDGET.get()
        method = getattr(__obj, "__wrapped__", __obj)  # a method ``format`` is wrapped
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(__obj, LoopContext):
            args = (budget.loop(args[0]), *args[1:])
        elif isinstance(owner, LoopContext):
            budget.written(args)
        elif isinstance(owner, str) and name == "join" and args:
            parts = args[0] if isinstance(args[0], Collection) else list(budget.loop(args[0]))
            budget.written(parts)
            budget.call("join", parts, [owner])
            args = (parts, *args[1:])
        elif isinstance(owner, str):
            budget.read(owner)
            budget.call(name, owner, [*args, *kwargs.values()])
        elif isinstance(owner, Collection) and name in ("index", "count"):
            budget.written([owner, *args])
        elif isinstance(owner, Mapping) or __obj in (dict, _raise_exception):
            budget.written(args)  # the hash or the text of all that is in it
        budget.step()
        return budget.made(super().call(__context, __obj, *args, **kwargs))


@contextmanager
def bounded() -> Iterator[None]:
    """Give what is rendered in this block a budget; nothing is rendered without one."""
    token = _BUDGET.set(Budget())
    try:
        yield
    finally:
        _BUDGET.reset(token)


def _written(value: Any) -> Any:
    budget = _BUDGET.get()
    budget.written(value)
    return budget.made(value)


def _read(value: Any) -> Any:
    _BUDGET.get().written(value)
    return value


@jinja2.pass_eval_context
def _concat(context: EvalContext, parts: list[Any]) -> str:
    budget = _BUDGET.get()
    budget.written(parts)
    return budget.made((markup_join if context.autoescape else str_join)(parts))


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    return numbers if len(numbers) <= MOST_STEPS else too_many_steps()


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON as it is; Jinja's own filter would escape it for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
