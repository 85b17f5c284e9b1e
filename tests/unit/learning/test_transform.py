"""Rewritten functions run beside the originals; forms that look alike but are not equal stay as they are."""

from __future__ import annotations

import ast
import copy
import difflib
import doctest
import fractions
import statistics
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

from learning.sources import transform
from learning.sources.problems import PROBLEMS, Problem
from learning.sources.transform import rewrite


def run(code: str, arguments: tuple[Any, ...]) -> Any:
    room: dict[str, Any] = {}
    exec(compile(code, "<test>", "exec"), room)
    name = ast.parse(code).body[0].name  # type: ignore[attr-defined]
    return room[name](*copy.deepcopy(arguments))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_solutions_agree(problem: Problem) -> None:
    for sample in problem.samples:
        answers = [run(solution, sample) for solution in problem.solutions]
        assert all(answer == answers[0] for answer in answers), (problem.name, sample, answers)
    assert len(problem.solutions) >= 3


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_rewritten_solutions_do_the_same(problem: Problem) -> None:
    changed = 0
    for solution in problem.solutions:
        for seed in range(6):
            other = rewrite(solution, seed)
            if other is None:
                continue
            changed += 1
            for sample in problem.samples:
                assert run(other, sample) == run(solution, sample), other
    assert changed >= 6 * (len(problem.solutions) - 1)


CASES = {
    "count": (
        "def f(n):\n    out = []\n    for i in range(2, n):\n        if i == 4:\n            break\n        out.append(i)\n    return out",
        [(0,), (3,), (9,)],
    ),
    "bound once": (
        "def f(xs):\n    for i in range(len(xs)):\n        xs.append(i)\n    return xs",
        [([1, 2],), ([],)],
    ),
    "comprehension": (
        "def f(xs):\n    x = 9\n    ys = [x * 2 for x in xs if x > 1 if x < 9]\n    return (x, ys)",
        [([1, 2, 3, 10],)],
    ),
    "logic": ("def f(a, b):\n    return not (a and (not (b or a)))", [(0, 1), (1, 0), (0, 0), (1, 1), ([], "x")]),
    "choice": ("def f(a):\n    b = 1 if a else 2\n    return b if b > 1 else -b", [(0,), (1,)]),
    "while": (
        "def f(n):\n    while not n > 5:\n        n += 2\n        if n == 3:\n            continue\n    return n",
        [(1,), (9,)],
    ),
    "swap": ("def f(a, b):\n    x = a\n    y = b\n    z = x\n    x = y\n    return (x, y, z)", [(1, 2)]),
    "closure": (
        "def f(n):\n    hold = []\n    for i in range(n):\n        hold.append(lambda: i)\n    return [h() for h in hold]",
        [(3,)],
    ),
    "after the loop": ("def f(n):\n    i = 7\n    for i in range(n):\n        pass\n    return i", [(0,), (4,)]),
    "changed inside": (
        "def f(n):\n    out = []\n    for i in range(n):\n        out.append(i)\n        i = 10\n    return out",
        [(3,)],
    ),
    "continue": (
        "def f(n):\n    s = 0\n    for i in range(n):\n        if i % 2:\n            continue\n        s += i\n    return s",
        [(6,)],
    ),
    "half-filled": (
        "def f(xs):\n    ys = None\n    try:\n        ys = [1 // x for x in xs]\n    except ArithmeticError:\n        pass\n    return ys",
        [([1, 0],)],
    ),
    "own range": (
        "def f(range):\n    s = []\n    for i in range(3):\n        s.append(i)\n    return s",
        [(lambda n: "abc"[:n],)],
    ),
    "nested function": (
        "def f(n, k=2):\n    def g(n, m=k):\n        return n + m\n    total = g(n)\n    return [total, k] + [n for n in [k]]",
        [(1,), (1, 5)],
    ),
    "errors": (
        "def f(x):\n    try:\n        return 1 / x\n    except ZeroDivisionError as e:\n        return str(e)",
        [(0,), (2,)],
    ),
    "keywords of itself": (
        "def f(n, acc=0):\n    if not n:\n        return acc\n    return f(n - 1, acc=acc + n)",
        [(4,)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_traps(case: str) -> None:
    code, samples = CASES[case]
    for seed in range(24):
        other = rewrite(code, seed)
        for sample in samples if other else ():
            assert run(other or "", sample) == run(code, sample), other


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return locals()",
        "def f(x):\n    return f'{x=}'",
        "def f(x):\n    global y\n    y = x",
        "class A:\n    pass",
        "def f(",
        "x = 1\ndef f(): pass",
        "def f():\n    pass",
    ],
)
def test_what_cannot_be_rewritten_is_refused(code: str) -> None:
    assert rewrite(code, 0) is None


def test_rewriting_is_deterministic_and_varies() -> None:
    code = textwrap.dedent(PROBLEMS[0].solutions[0])
    assert rewrite(code, 5) == rewrite(code, 5)
    assert len({rewrite(code, seed) for seed in range(8)}) > 4
    assert "numbers" not in (rewrite(code, 0) or "numbers")


def test_every_form_is_used() -> None:
    counted = {rewrite(CASES["count"][0], seed) for seed in range(24)}
    assert any(code and "while " in code for code in counted)
    lists = {rewrite("def f(xs):\n    ys = [x for x in xs]\n    return ys[0]", seed) for seed in range(24)}
    assert any(code and ".append(" in code for code in lists)
    swapped = {rewrite("def f():\n    a = 1\n    b = 2\n    g(a, b)", seed) for seed in range(24)}
    assert len({code.splitlines()[1].endswith("2") for code in swapped if code}) == 2


def rewritten_module(source: str, seed: int) -> tuple[str, int]:
    """A module with every function and method rewritten, docstrings and decorators kept; and how many were."""
    changed = 0

    class Functions(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
            nonlocal changed
            bare = copy.deepcopy(node)
            bare.decorator_list = []
            documented = ast.get_docstring(node) is not None
            if documented:
                bare.body = bare.body[1:] or [ast.Pass()]
            other = rewrite(ast.unparse(bare), seed)
            if other is None:
                return node
            changed += 1
            new = ast.parse(other).body[0]
            assert isinstance(new, ast.FunctionDef)
            new.decorator_list = node.decorator_list
            new.body = [*node.body[: int(documented)], *new.body]
            return new

    return ast.unparse(ast.fix_missing_locations(Functions().visit(ast.parse(source)))), changed


@pytest.mark.parametrize(("module", "examples"), [(statistics, 50), (difflib, 50), (fractions, 10)])
def test_the_rewritten_standard_library_still_passes_its_own_examples(
    module: types.ModuleType, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locals_only(function: ast.FunctionDef) -> set[str]:  # the examples pass arguments by keyword
        return renamable(function) - {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}

    renamable = transform._renamable
    monkeypatch.setattr(transform, "_renamable", locals_only)
    code, changed = rewritten_module(Path(module.__file__ or "").read_text(), 1)
    assert changed > 30
    other = types.ModuleType(module.__name__)
    monkeypatch.setitem(sys.modules, module.__name__, other)
    exec(compile(code, "<rewritten>", "exec"), other.__dict__)
    found = doctest.testmod(other, report=False)
    assert found.failed == 0
    assert found.attempted > examples
