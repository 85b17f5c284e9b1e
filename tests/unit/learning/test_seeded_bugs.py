"""Planted bugs: one change each, no tell-tale of length or words, and most of them change a result."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from typing import Any

from learning.sources.problems import PROBLEMS
from learning.sources.seeded_bugs import Balance, plant

GUARD = "def f(x, y):\n    if x is None:\n        x = y\n    z = len(x)\n    return z"


def clean() -> list[str]:
    return [ast.unparse(ast.parse(s)) for p in PROBLEMS for s in p.solutions] + [GUARD]


def tokens(code: str) -> Counter[str]:
    return Counter(t.string for t in tokenize.generate_tokens(io.StringIO(code).readline) if t.string.strip())


def planted(seeds: int = 4) -> tuple[list[tuple[str, str, str]], Balance]:
    balance, found = Balance(), []
    for seed in range(seeds):
        for code in clean():
            bug = plant(code, seed, balance)
            if bug is not None:
                found.append((code, bug.code, bug.kind))
    return found, balance


def test_every_kind_is_planted_and_every_direction_has_its_inverse() -> None:
    found, balance = planted()
    assert set(balance.kinds) == {
        *("comparison", "arithmetic", "logic", "off by one", "wrong variable", "swapped arguments", "late None check")
    }
    assert len(found) == sum(balance.kinds.values()) > 150
    for direction, count in balance.directions.items():
        inverse = ">".join(reversed(direction.split(">")))
        assert abs(count - balance.directions[inverse]) <= 1, direction


def test_no_word_and_no_length_tells() -> None:
    found, _ = planted()
    before, after = Counter[str](), Counter[str]()
    for old, new, _ in found:
        assert old != new
        assert abs(len(old) - len(new)) <= 4
        assert len(old.splitlines()) == len(new.splitlines())
        before += tokens(old)
        after += tokens(new)
    odd = {t: (before[t], after[t]) for t in before | after if abs(before[t] - after[t]) > 2}
    assert odd == {}


def test_the_line_of_the_change_is_named() -> None:
    for seed in range(20):
        bug = plant(
            GUARD, seed, Balance(Counter(dict.fromkeys(("comparison", "wrong variable", "swapped arguments"), 9)))
        )
        assert bug is not None
        assert bug.kind == "late None check"
        assert bug.line == 2
        assert bug.code.splitlines()[1].strip() == "z = len(x)"


def test_planting_is_deterministic() -> None:
    code = clean()[0]
    assert plant(code, 3, Balance()) == plant(code, 3, Balance())


def test_nothing_to_break_gives_none() -> None:
    assert plant("def f():\n    pass", 0, Balance()) is None


def test_most_bugs_change_a_result() -> None:
    def outcome(code: str, sample: tuple[Any, ...]) -> Any:
        room: dict[str, Any] = {"range": lambda *a: range(*a)[:1000]}
        steps = iter(range(20_000))

        def watch(*_: Any) -> Any:
            if next(steps, None) is None:
                raise TimeoutError
            return watch

        import copy
        import sys

        exec(compile(code, "<test>", "exec"), room)
        sys.settrace(watch)
        try:
            return room["solve"](*copy.deepcopy(sample))
        except Exception as error:  # noqa: BLE001 - whatever the broken program raises is its result
            return type(error)
        finally:
            sys.settrace(None)

    found, balance, changed = 0, Balance(), 0
    for problem in PROBLEMS:
        for solution in problem.solutions:
            bug = plant(ast.unparse(ast.parse(solution)), 1, balance)
            if bug is not None:
                found += 1
                changed += any(outcome(bug.code, s) != outcome(solution, s) for s in problem.samples)
    assert found >= 50
    assert changed / found > 0.85
