from __future__ import annotations

from learning.sources.near_duplicates import SeenBefore, similarity, sketch
from learning.tasks.code_search import Pair

BODY = "\n".join(f"    var_{i} = arg_0[{i}] + other_{i}(arg_1, {i * 7})" for i in range(30))
CODE = f"def Func(arg_0, arg_1):\n{BODY}\n    return var_3"


def pair(query: str, code: str) -> Pair:
    return Pair(query, code, "r", "p", "n")


def test_equal_code_has_similarity_one_and_unrelated_code_near_zero() -> None:
    other = "class A:\n    pass\n" + "\n".join(f"for q{i} in z: w{i}.append(q{i} * {i})" for i in range(30))
    assert similarity(sketch(CODE), sketch(CODE)) == 1.0
    assert similarity(sketch(CODE), sketch(other)) < 0.1


def test_a_small_edit_is_still_a_near_duplicate() -> None:
    seen = SeenBefore([pair("Compute the thing.", CODE)])
    assert seen.check_and_add(pair("Something else entirely.", CODE.replace("return var_3", "return var_4")))


def test_same_query_in_other_spelling_is_a_duplicate() -> None:
    seen = SeenBefore()
    assert not seen.check_and_add(pair("Close the file.", "def Func(): a"))
    assert seen.check_and_add(pair("close  the FILE.", "x = lambda: 1 or 2 or 3 or 4"))


def test_different_functions_are_both_kept() -> None:
    seen = SeenBefore()
    assert not seen.check_and_add(pair("Compute the thing.", CODE))
    assert not seen.check_and_add(
        pair("Open a door.", "def Func(arg_0):\n    with arg_0 as var_0:\n        return var_0.go(1)")
    )
    assert not seen.check_and_add(pair("Tiny.", "x"))
