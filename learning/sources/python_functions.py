"""Reads (docstring, function) pairs out of Python source text, with `ast` only: nothing is imported or executed.

The filters are those of CodeSearchNet (Husain et al. 2019, arXiv 1909.09436): a docstring whose first paragraph has 3 to 256 ASCII
words, a body of at least three lines, no dunder methods, no tests. Names are hidden as in CodeXGLUE's Adv test set (Lu et al. 2021,
arXiv 2102.04664): the function becomes ``Func``, parameters ``arg_0…``, local variables ``var_0…``, so that search cannot succeed by
matching names.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

MIN_WORDS, MAX_WORDS = 3, 256
MIN_LINES = 3
MAX_CODE_CHARS = 4_000
_MARKUP = (">>>", "@", ":param", ":return", "TODO", "..", "Deprecated", "*")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """One documented function: first paragraph of its docstring, code with names hidden, dotted name as written."""

    query: str
    code: str
    name: str


def first_paragraph(docstring: str) -> str:
    """First paragraph of a docstring with runs of white space collapsed to one blank."""
    return " ".join(re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0].split())


def usable_query(text: str) -> bool:
    """Whether ``text`` passes CodeSearchNet's docstring filters (see the module's head)."""
    return (
        MIN_WORDS <= len(text.split()) <= MAX_WORDS
        and text.isascii()
        and "http://" not in text
        and "https://" not in text
        and not text.startswith(_MARKUP)
    )


def functions(source: str) -> Iterator[Function]:
    """Pairs of one file, in source order. A file that does not parse yields nothing.

    Functions nested in functions are part of the outer one. Overloads and stubs fall to the length filter.
    """
    tree = parse(source)
    if tree is None:
        return  # Python 2, templates, null bytes, or nesting beyond the parser's limits
    for node, qualified in definitions(tree):
        pair = _pair(node, qualified)
        if pair is not None:
            yield pair


def parse(source: str) -> ast.Module | None:
    """Syntax tree of a file, or None if this Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in somebody's source is not our warning
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def definitions(parent: ast.AST, prefix: str = "") -> Iterator[tuple[FunctionNode, str]]:
    """Functions of a module with their dotted names, those in classes and under conditions included, those in functions not."""
    for child in ast.iter_child_nodes(parent):
        if isinstance(child, FunctionNode):
            yield child, prefix + child.name
        elif isinstance(child, ast.ClassDef):
            yield from definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.If, ast.Try)):
            yield from definitions(child, prefix)


def _pair(node: FunctionNode, qualified: str) -> Function | None:
    name = node.name
    if "test" in name.lower() or (name.startswith("__") and name.endswith("__")):
        return None
    docstring = ast.get_docstring(node)
    if not docstring or len(node.body) < 2:
        return None
    query = first_paragraph(docstring)
    if not usable_query(query):
        return None
    try:
        code = hide_names(node)
    except RecursionError:
        return None
    if code.count("\n") + 1 < MIN_LINES or len(code) > MAX_CODE_CHARS:
        return None
    return Function(query=query, code=code, name=qualified)


def hide_names(node: FunctionNode) -> str:
    """Source of ``node`` without docstrings and decorators, with names replaced. Changes the tree in place."""
    name = node.name
    mapping: dict[str, str] = {}
    for parameter in _parameters(node.args):
        if parameter not in {"self", "cls"}:
            mapping.setdefault(parameter, f"arg_{len(mapping)}")
    shared = {n for child in ast.walk(node) if isinstance(child, (ast.Global, ast.Nonlocal)) for n in child.names}
    local = 0
    for child in ast.walk(node):
        if isinstance(child, FunctionNode):
            drop_docstring(child)
        if (
            isinstance(child, ast.Name)
            and isinstance(child.ctx, ast.Store)
            and child.id not in mapping
            and child.id not in shared
        ):
            mapping[child.id] = f"var_{local}"
            local += 1
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            child.id = mapping.get(child.id, "Func" if child.id == name else child.id)
        elif isinstance(child, ast.arg):
            child.arg = mapping.get(child.arg, child.arg)
        elif isinstance(child, ast.Attribute) and child.attr == name:
            child.attr = "Func"
    node.name = "Func"
    node.decorator_list = []
    return ast.unparse(node)


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield argument.arg
    for extra in (arguments.vararg, arguments.kwarg):
        if extra is not None:
            yield extra.arg


def drop_docstring(node: FunctionNode) -> None:
    """Take the docstring out of a function, in place; an empty body becomes ``pass``."""
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]
