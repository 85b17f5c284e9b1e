"""Mutants of a Solidity source: one small change each, made on the compiler's syntax tree, so that comments and strings stay alone.

Classes (`Mutant.operator`) and what they ask of the tests:

    relation    < ↔ <=, > ↔ >=, == ↔ !=           are both sides of every boundary tried?
    condition   c → !(c) in if, while, for, ?:, require
    logic       && ↔ ||, !x → x
    arithmetic  + ↔ -, * ↔ /, % → *, ** → *, ++ ↔ --, & ↔ |, ^ → &, << ↔ >>, the same with =
    constant    a number ± 1 (0 only + 1), true ↔ false
    shift       the amount of a shift + 1, where it is no number
    statement   an expression statement, break or continue removed
    guard       a revert removed with the if around it, or a modifier of a function removed
    emit        an event removed
    return      a returned value replaced: number + 1 and 0, boolean negated, address or hash zero
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tools.contracts.solidity import Node, line_of, span, walk

_SWAPS = {
    "relation": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "logic": {"&&": "||", "||": "&&"},
    "arithmetic": dict(
        pair.split(" → ")
        for pair in (
            *("+ → -", "- → +", "* → /", "/ → *", "% → *", "** → *", "& → |", "| → &", "^ → &", "<< → >>", ">> → <<"),
            *("+= → -=", "-= → +=", "*= → /=", "/= → *=", "%= → *="),
            *("&= → |=", "|= → &=", "^= → &=", "<<= → >>=", ">>= → <<="),
        )
    ),
}
_NUMBER = re.compile(rb"0x[0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]+)?(?:e-?[0-9]+)?")
_INTEGER = re.compile(r"u?int\d+$")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one source.

    Attributes:
        file: source, relative to the contracts' folder.
        start: first byte replaced.
        end: first byte after it that stays.
        original: the bytes replaced, as text.
        mutated: what stands there instead.
        operator: class of the change.
        line: of ``start``, from 1.
    """

    file: str
    start: int
    end: int
    original: str
    mutated: str
    operator: str
    line: int

    @property
    def id(self) -> str:
        """Sixteen hex digits that stay the same as long as the change does."""
        text = f"{self.file}\0{self.start}\0{self.original}\0{self.mutated}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def apply(self, text: bytes) -> bytes:
        """The mutated source.

        Raises:
            ValueError: ``text`` is not the source that the mutant was made from.
        """
        if text[self.start : self.end] != self.original.encode():
            raise ValueError(f"{self.file} has changed since mutant {self.id} was made")
        return text[: self.start] + self.mutated.encode() + text[self.end :]


Change = tuple[str, int, int, str]
"""Operator, start, end, replacement."""


def mutants(file: str, text: bytes, tree: Node) -> list[Mutant]:
    """All mutants of a source, by place.

    Args:
        file: name they get.
        text: the source.
        tree: its syntax tree.
    """
    found = [
        Mutant(file, start, end, text[start:end].decode(), replacement, operator, line_of(text, start))
        for node, parents in walk(tree)
        for operator, start, end, replacement in _changes(node, parents, text)
    ]
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.mutated))


def canary(text: bytes, tree: Node) -> bytes:
    """The source with ``revert();`` at the beginning of every function but constructors: no test that uses it can pass.

    Raises:
        ValueError: it has no function with a body.
    """
    places = [
        span(node["body"])[0] + 1
        for node, _ in walk(tree)
        if node["nodeType"] == "FunctionDefinition" and node["kind"] != "constructor" and node.get("body")
    ]
    if not places:
        raise ValueError("no function to put a canary in")
    for place in sorted(places, reverse=True):
        text = text[:place] + b" revert(); " + text[place:]
    return text


# --- one node ---------------------------------------------------------------------------------------------------------


def _changes(node: Node, parents: tuple[Node, ...], text: bytes) -> Iterator[Change]:
    match node["nodeType"]:
        case "BinaryOperation":
            yield from _binary(node, text)
        case "Assignment" if node["operator"] != "=":
            yield from _swap(node["operator"], span(node["leftHandSide"])[1], span(node["rightHandSide"])[0], text)
        case "UnaryOperation":
            yield from _unary(node)
        case "IfStatement" | "WhileStatement" | "ForStatement" | "Conditional":
            yield from _condition(node.get("condition"), text)
            if node["nodeType"] == "IfStatement" and _only_reverts(node):
                yield _removal("guard", node, text)
        case "FunctionCall" if node["expression"].get("name") in {"require", "assert"}:
            yield from _condition(node["arguments"][0], text)
        case "Literal":
            yield from _literal(node, parents, text)
        case "ModifierInvocation" if node.get("kind") == "modifierInvocation":
            yield ("guard", *span(node), "")
        case "Return" if node.get("expression"):
            yield from _returned(node["expression"], text)
        case _:
            yield from _statement(node, parents, text)


def _swap(operator: str, after: int, before: int, text: bytes) -> Iterator[Change]:
    """Exchange an operator that stands between two operands."""
    start = text.index(operator.encode(), after, before)
    for kind, swaps in _SWAPS.items():
        if operator in swaps:
            yield kind, start, start + len(operator), swaps[operator]


def _binary(node: Node, text: bytes) -> Iterator[Change]:
    operator, right = node["operator"], node["rightExpression"]
    yield from _swap(operator, span(node["leftExpression"])[1], span(right)[0], text)
    if operator in {"<<", ">>"} and right["nodeType"] != "Literal":
        start, end = span(right)
        yield "shift", start, end, f"({text[start:end].decode()} + 1)"


def _unary(node: Node) -> Iterator[Change]:
    start, end = span(node)
    operator = node["operator"]
    if operator in {"++", "--"}:
        place = start if node["prefix"] else end - 2
        yield "arithmetic", place, place + 2, "--" if operator == "++" else "++"
    elif operator in {"!", "-", "~"}:
        yield "logic" if operator == "!" else "arithmetic", start, start + 1, ""


def _condition(condition: Node | None, text: bytes) -> Iterator[Change]:
    """Negate, unless another class makes the same change."""
    if condition is None or condition.get("operator") in {"==", "!=", "!"} or condition["nodeType"] == "Literal":
        return
    start, end = span(condition)
    yield "condition", start, end, f"!({text[start:end].decode()})"


def _literal(node: Node, parents: tuple[Node, ...], text: bytes) -> Iterator[Change]:
    start, end = span(node)
    if node["kind"] == "bool":
        yield "constant", start, end, "false" if node["value"] == "true" else "true"
    if node["kind"] != "number" or any(parent["nodeType"] == "ArrayTypeName" for parent in parents):
        return
    written = _NUMBER.match(text, start, end)
    assert written is not None, "a number literal begins with a number"
    digits = written.group().decode().replace("_", "")
    value = int(digits, 16) if digits.startswith("0x") else Decimal(digits)
    if value != int(value):
        return  # a fraction, which only makes sense within its expression
    for other in (int(value) + 1, int(value) - 1):
        if other >= 0:
            yield "constant", start, written.end(), str(other)


def _returned(expression: Node, text: bytes) -> Iterator[Change]:
    if expression["nodeType"] == "TupleExpression" and len(expression["components"]) > 1:
        for component in expression["components"]:
            yield from _returned(component, text)
        return
    if expression["nodeType"] == "Literal":
        return  # the class constant changes it
    start, end = span(expression)
    kind = expression["typeDescriptions"]["typeString"]
    old = text[start:end].decode()
    if kind == "bool":
        yield "return", start, end, f"!({old})"
    elif _INTEGER.match(kind):
        yield "return", start, end, f"({old}) + 1"
        yield "return", start, end, "0"
    elif kind in {"address", "bytes32"}:
        yield "return", start, end, f"{kind}(0)"


def _statement(node: Node, parents: tuple[Node, ...], text: bytes) -> Iterator[Change]:
    parent = parents[-1] if parents else {"nodeType": ""}
    if parent["nodeType"] == "ForStatement" and node is not parent.get("body"):
        return  # the head of a loop: without its step it only never ends
    match node["nodeType"]:
        case "ExpressionStatement" | "Break" | "Continue":
            yield _removal("statement", node, text)
        case "EmitStatement":
            yield _removal("emit", node, text)
        case "RevertStatement" if not any(_only_reverts(one) for one in parents[-2:] if one.get("trueBody")):
            yield _removal("guard", node, text)


def _only_reverts(node: Node) -> bool:
    """An ``if`` that does nothing but revert, without ``else``."""
    body = node["trueBody"]
    inner = body["statements"] if body["nodeType"] == "Block" else [body]
    return node.get("falseBody") is None and [one["nodeType"] for one in inner] == ["RevertStatement"]


def _removal(operator: str, node: Node, text: bytes) -> Change:
    """An empty block in the place of a statement, which is allowed wherever a statement is."""
    start, end = span(node)
    rest = re.compile(rb"\s*;").match(text, end)
    return operator, start, rest.end() if rest else end, "{}"
