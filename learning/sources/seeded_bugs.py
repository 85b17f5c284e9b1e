"""Plants one small bug in a Python function: a labelled stand-in for real defects.

Every kind of bug comes with its inverse, and `Balance` hands them out so that each direction is used as often as the other. The clean and
the buggy version of each function are both kept. So the two classes hold the same number of functions, the same lengths up to a character,
and the same number of every token: neither length, nor formatting, nor any word tells the label; only where the token stands does.

| kind | what changes |
|---|---|
| comparison | ``<`` and ``<=``, ``>`` and ``>=``, ``==`` and ``!=``, ``is`` and ``is not``, ``in`` and ``not in`` |
| arithmetic | ``+`` and ``-``, ``*`` and ``/`` … |
| logic | ``and`` and ``or`` |
| off by one | 0 and 1, 1 and 2, where a number is compared, added, an index or a bound |
| wrong variable | one use of a variable becomes another variable of the function, and one use of that other one the first |
| swapped arguments | two neighbouring arguments that are different variables change places |
| late None check | an ``if x is None: …`` moves behind the statement that already uses x: the check is missing where it is needed |

What it is not: a real defect from a real history. A planted bug may even change nothing (``<`` where equality never occurs); that is not
checked here. Of 53 bugs planted in this project's own problem programs, 48 change a result on the sample inputs.
"""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise

_COMPARISONS: tuple[tuple[type[ast.cmpop], type[ast.cmpop]], ...] = (
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
)
_OPERATORS: tuple[tuple[type[ast.operator], type[ast.operator]], ...] = (
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.FloorDiv, ast.Mod),
    (ast.LShift, ast.RShift),
    (ast.BitAnd, ast.BitOr),
)
_NUMBERS = ((0, 1), (1, 2))


@dataclass(frozen=True, slots=True)
class Bug:
    """A function with one planted bug: its source, the kind, and the line (from 1) that changed first."""

    code: str
    kind: str
    line: int


@dataclass(frozen=True, slots=True)
class _Site:
    kind: str
    direction: str
    inverse: str
    apply: Callable[[], None]


@dataclass(slots=True)
class Balance:
    """How often each kind and direction was used; shared by all functions of one data set."""

    kinds: Counter[str] = field(default_factory=Counter)
    directions: Counter[str] = field(default_factory=Counter)

    def allows(self, site: _Site) -> bool:
        """Whether the inverse was used as often already, or the site is its own inverse."""
        return site.direction == site.inverse or self.directions[site.direction] <= self.directions[site.inverse]

    def use(self, site: _Site) -> None:
        """Count one use."""
        self.kinds[site.kind] += 1
        self.directions[site.direction] += 1


def plant(code: str, seed: int, balance: Balance) -> Bug | None:
    """``code`` with one bug of the kind used least so far, or None if no kind fits.

    Args:
        code: source of one function as `ast.unparse` writes it, without docstring.
        seed: chooses among the places.
        balance: see `Balance`; changed by this call.
    """
    before = ast.unparse(ast.parse(code))
    draw = random.Random(f"plant/{seed}")  # noqa: S311 - no secret
    found = [(place, site) for place, site in enumerate(_sites(ast.parse(code))) if balance.allows(site)]
    draw.shuffle(found)
    for place, site in sorted(found, key=lambda f: (balance.kinds[f[1].kind], balance.directions[f[1].direction])):
        tree = ast.parse(code)
        next(islice(_sites(tree), place, None)).apply()
        after = ast.unparse(tree)
        if (
            after == before
            or len(after.splitlines()) != len(before.splitlines())
            or _brackets(after) != _brackets(before)
        ):
            continue  # precedence put brackets in or took them out, which would tell
        balance.use(site)
        pairs = zip(before.splitlines(), after.splitlines(), strict=True)
        line = next(number for number, (old, new) in enumerate(pairs, 1) if old != new)
        return Bug(after, site.kind, line)
    return None


def _brackets(code: str) -> int:
    return code.count("(")


def _sites(tree: ast.Module) -> Iterator[_Site]:
    for node in ast.walk(tree):
        match node:
            case ast.Compare(ops=[operator]):
                yield from _operator(node, operator)
                for side in (node.left, *node.comparators):
                    yield from _number(side)
            case ast.BinOp():
                yield from _arithmetic(node)
                yield from _number(node.right)
            case ast.BoolOp():
                yield from _logic(node)
            case ast.Subscript(slice=place):
                yield from _number(place)
            case ast.Slice(lower=lower, upper=upper):
                yield from _number(lower)
                yield from _number(upper)
            case ast.Call(func=called, args=arguments):
                if isinstance(called, ast.Name) and called.id == "range":
                    for argument in arguments:
                        yield from _number(argument)
                yield from _arguments(node)
    yield from _variables(tree)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            yield from _checks(body)


def _operator(node: ast.Compare, operator: ast.cmpop) -> Iterator[_Site]:
    for pair in _COMPARISONS:
        for old, new in (pair, pair[::-1]):
            if type(operator) is old:

                def apply(new: type[ast.cmpop] = new) -> None:
                    node.ops = [new()]

                yield _Site("comparison", f"{old.__name__}>{new.__name__}", f"{new.__name__}>{old.__name__}", apply)


def _arithmetic(node: ast.BinOp) -> Iterator[_Site]:
    texts = (node.left, node.right)
    if any(
        isinstance(t, (ast.JoinedStr, ast.List, ast.Tuple)) or isinstance(getattr(t, "value", None), str) for t in texts
    ):
        return  # text and list arithmetic would fail at once
    for pair in _OPERATORS:
        for old, new in (pair, pair[::-1]):
            if type(node.op) is old:

                def apply(new: type[ast.operator] = new) -> None:
                    node.op = new()

                yield _Site("arithmetic", f"{old.__name__}>{new.__name__}", f"{new.__name__}>{old.__name__}", apply)


def _logic(node: ast.BoolOp) -> Iterator[_Site]:
    new: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    if any(isinstance(value, ast.BoolOp) for value in node.values):
        return  # brackets would appear or vanish and tell

    def apply() -> None:
        node.op = new

    names = type(node.op).__name__, type(new).__name__
    yield _Site("logic", ">".join(names), ">".join(names[::-1]), apply)


def _number(node: ast.AST | None) -> Iterator[_Site]:
    if not isinstance(node, ast.Constant) or type(node.value) is not int:
        return
    for pair in _NUMBERS:
        for old, new in (pair, pair[::-1]):
            if node.value == old:

                def apply(new: int = new) -> None:
                    node.value = new

                yield _Site("off by one", f"{old}>{new}", f"{new}>{old}", apply)


def _arguments(node: ast.Call) -> Iterator[_Site]:
    for place, (left, right) in enumerate(pairwise(node.args)):
        if isinstance(left, ast.Name) and isinstance(right, ast.Name) and left.id != right.id:

            def apply(place: int = place) -> None:
                node.args[place], node.args[place + 1] = node.args[place + 1], node.args[place]

            yield _Site("swapped arguments", "swap", "swap", apply)


def _variables(tree: ast.Module) -> Iterator[_Site]:
    """Two uses of two local variables exchange their names: every name occurs as often as before."""
    own = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    own |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own -= {"self", "cls"}
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in own]
    uses = sorted((n for n in uses if id(n) not in called), key=lambda n: (n.lineno, n.col_offset))
    for first, second in pairwise(uses):
        if first.id != second.id and first.lineno != second.lineno:

            def apply(first: ast.Name = first, second: ast.Name = second) -> None:
                first.id, second.id = second.id, first.id

            yield _Site("wrong variable", "swap", "swap", apply)


def _checks(body: list[ast.stmt]) -> Iterator[_Site]:
    for place, (check, following) in enumerate(pairwise(body)):
        match check:
            case ast.If(
                test=ast.Compare(left=ast.Name(id=name), ops=[ast.Is()], comparators=[ast.Constant(value=None)]),
                orelse=[],
            ) if any(
                isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load) for n in ast.walk(following)
            ):

                def apply(place: int = place) -> None:
                    body[place], body[place + 1] = body[place + 1], body[place]

                yield _Site("late None check", "late", "late", apply)
