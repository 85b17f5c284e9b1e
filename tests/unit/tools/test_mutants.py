"""Which mutants a source has, read from the compiler's tree: each class, what is left alone, and that a mutant is one change."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.protocol.errors import SetupError
from tools.contracts.mutants import Mutant, canary, mutants
from tools.contracts.solidity import CONTRACTS, clean_environment, compile_standard, sources, syntax_tree

HEAD = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.34;\n\n"


def contract(body: str) -> str:
    return f"{HEAD}contract C {{\n    uint256 public x;\n    error No(uint256 a);\n    event Said(uint256 a);\n{body}\n}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("tools", "node_modules"):
        (tmp_path / name).symlink_to(CONTRACTS / name)
    shutil.copy(CONTRACTS / "foundry.toml", tmp_path)
    (tmp_path / "src").mkdir()
    return tmp_path


def made(project: Path, body: str) -> list[Mutant]:
    text = contract(body)
    (project / "src" / "C.sol").write_text(text)
    return mutants("src/C.sol", text.encode(), syntax_tree(project, "src/C.sol"))


def changes(found: Sequence[Mutant], operator: str) -> list[tuple[str, str]]:
    return [(one.original, one.mutated) for one in found if one.operator == operator]


def test_relations_move_their_boundary(project):
    body = "function f(uint256 a) external { if (a < 7 && a != x || a >= 9) x = a; }"
    assert changes(made(project, body), "relation") == [("<", "<="), ("!=", "=="), (">=", ">")]


def test_conditions_are_negated_but_not_twice(project):
    body = """function f(bool a, uint256 b) external {
        if (a) x = b;
        while (x > b) x = b;
        for (uint256 i = 0; i < b; ++i) x = i;
        x = a ? b : x;
        require(a);
        if (b == 3) x = 1;
        if (!a) x = 2;
    }"""
    found = made(project, body)
    assert [mutated for _, mutated in changes(found, "condition")] == [
        *("!(a)", "!(x > b)", "!(i < b)", "!(a)", "!(a)"),
    ]
    assert ("!", "") in changes(found, "logic")


def test_logic_arithmetic_and_steps(project):
    body = """function f(uint256 a, bool b) external {
        x = a + 1 * a - a / 2 % a;
        x += a; x -= a; x |= a; x &= a;
        b = b && a > 1 || !b;
        x++; --x;
        x = a << 2 >> a;
    }"""
    found = made(project, body)
    assert changes(found, "logic") == [("&&", "||"), ("||", "&&"), ("!", "")]
    assert changes(found, "arithmetic") == [
        *(("+", "-"), ("*", "/"), ("-", "+"), ("/", "*"), ("%", "*")),
        *(("+=", "-="), ("-=", "+="), ("|=", "&="), ("&=", "|=")),
        *(("++", "--"), ("--", "++"), ("<<", ">>"), (">>", "<<")),
    ]
    assert changes(found, "shift") == [("a", "(a + 1)")]


def test_constants_move_by_one_whatever_they_look_like(project):
    body = """uint256[4] y; uint256 constant A = 1 days; uint256 constant B = 0x10; uint256 constant D = 1_000; uint256 constant E = 2e3;
        uint256 constant Z = 0; bool constant T = true; uint256 constant H = 0.5 ether;"""
    assert changes(made(project, body), "constant") == [
        *(("1", "0"), ("1", "2"), ("0x10", "15"), ("0x10", "17"), ("1_000", "1001"), ("1_000", "999")),
        *(("2e3", "1999"), ("2e3", "2001"), ("0", "1"), ("true", "false")),
    ]


def test_statements_events_and_guards_are_removed_as_wholes(project):
    body = """modifier only() { require(x == 0); _; }
    function f(uint256 a) external only {
        if (a == 1) revert No(a);
        if (a == 2) { revert No(a); }
        emit Said(a);
        x = a;
        if (a == 3) x = 4; else revert No(a);
        if (a == 5) revert No(a); else x = 6;
        for (uint256 i = 0; i < 3; ++i) { if (i == 1) continue; break; }
    }"""
    found = made(project, body)
    assert changes(found, "guard") == [
        ("only", ""),
        ("if (a == 1) revert No(a);", "{}"),
        ("if (a == 2) { revert No(a); }", "{}"),
        ("revert No(a);", "{}"),
        ("revert No(a);", "{}"),
    ]
    assert changes(found, "emit") == [("emit Said(a);", "{}")]
    assert changes(found, "statement") == [
        *(("require(x == 0);", "{}"), ("x = a;", "{}"), ("x = 4;", "{}"), ("x = 6;", "{}")),
        *(("continue;", "{}"), ("break;", "{}")),
    ]


def test_returned_values_are_replaced_by_their_type(project):
    body = """function f(uint256 a) external view returns (uint256, bool, address) { return (a, a > x, msg.sender); }
    function g() external pure returns (bytes32) { return keccak256("a"); }
    function h(int64 a) external pure returns (int64) { return -a; }"""
    assert changes(made(project, body), "return") == [
        *(("a", "(a) + 1"), ("a", "0"), ("a > x", "!(a > x)"), ("msg.sender", "address(0)")),
        *(('keccak256("a")', "bytes32(0)"), ("-a", "(-a) + 1"), ("-a", "0")),
    ]


def test_comments_strings_and_text_of_other_languages_stay(project):
    body = """/// 1 < 2 && §5: äöü, x = 3;
    string public name = "1 + 1 < 3"; // 1 < 2
    function f() external { x = 7; }"""
    found = made(project, body)
    assert changes(found, "constant") == [("7", "6"), ("7", "8")]
    assert {one.line for one in found} == {10}


def test_a_mutant_is_one_change_and_every_compiled_one_compiles(project):
    body = """function f(uint256 a) external returns (uint256) {
        if (a > 3) revert No(a);
        emit Said(a);
        x = a * 2 + 1;
        return x;
    }"""
    text = contract(body).encode()
    found = made(project, body)
    assert len({one.id for one in found}) == len(found) == len({one.apply(text) for one in found})
    for one in found:
        changed = one.apply(text)
        assert changed.startswith(text[: one.start])
        assert changed.endswith(text[one.end :])
        document = {"language": "Solidity", "sources": {"C.sol": {"content": changed.decode()}}, "settings": {}}
        compile_standard(document)


def test_a_mutant_of_another_source_is_refused(project):
    one = made(project, "function f() external { x = 7; }")[0]
    with pytest.raises(ValueError, match="has changed"):
        one.apply(contract("function f() external { x = 88; }").encode()[::-1])


def test_the_canary_stops_every_function_but_the_constructor(project):
    body = "constructor() { x = 1; }\n function f() external { x = 7; }\n function g() public virtual {}"
    text = contract(body)
    (project / "src" / "C.sol").write_text(text)
    changed = canary(text.encode(), syntax_tree(project, "src/C.sol")).decode()
    assert changed.count("{ revert();") == 2
    assert "constructor() { x = 1; }" in changed
    (project / "src" / "C.sol").write_text(f"{HEAD}interface I {{ function f() external; }}\n")
    with pytest.raises(ValueError, match="no function"):
        canary(b"", syntax_tree(project, "src/C.sol"))


def test_imports_are_followed_by_path_and_remapping(project):
    (project / "src" / "A.sol").write_text(
        f'{HEAD}import {{B}} from "./deep/B.sol";\nimport {{\n    Math\n}} from "@openzeppelin/contracts/utils/math/Math.sol";\n'
    )
    (project / "src" / "deep").mkdir()
    (project / "src" / "deep" / "B.sol").write_text(f'{HEAD}import "../D.sol";\ncontract B is D {{}}\n')
    (project / "src" / "D.sol").write_text(f"{HEAD}contract D {{}}\n")
    found = sources(project, "src/A.sol")
    assert {"src/A.sol", "src/deep/B.sol", "src/D.sol"} < set(found)
    assert "node_modules/@openzeppelin/contracts/utils/math/Math.sol" in found


def test_what_does_not_compile_or_is_missing_is_said(project):
    (project / "src" / "C.sol").write_text(f"{HEAD}contract C {{ uint256 x = y; }}\n")
    with pytest.raises(SetupError, match="Undeclared identifier"):
        syntax_tree(project, "src/C.sol")
    (project / "src" / "C.sol").write_text(f'{HEAD}import "./Gone.sol";\n')
    with pytest.raises(SetupError, match=r"src/Gone\.sol cannot be read"):
        syntax_tree(project, "src/C.sol")


def test_settings_of_forge_do_not_leak_into_a_run(monkeypatch):
    monkeypatch.setenv("FOUNDRY_PROFILE", "deep")
    monkeypatch.setenv("HOME_OF_SOMETHING", "kept")
    found = clean_environment(FOUNDRY_OUT="there")
    assert (found.get("FOUNDRY_PROFILE"), found["FOUNDRY_OUT"], found["HOME_OF_SOMETHING"]) == (None, "there", "kept")
