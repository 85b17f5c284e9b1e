"""Python source as the tokens of CodeXGLUE's py150: what code completion predicts.

``<s>``, the tokens, ``</s>``; every line's end is ``<EOL>`` (blank lines and comments leave none), indentation and comments go, numbers
become ``<NUM_LIT>`` and the contents of texts ``<STR_LIT>``, or ``<NUM_LIT:0>`` and ``<STR_LIT:name>`` where the literal is among the
commonest of the training split (there: 30 numbers, 200 texts). Blanks and commas in a kept text are written U+0020 and U+002C, so a token
holds no white space.
"""

from __future__ import annotations

import io
import re
import token
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

COMMON_NUMBERS, COMMON_TEXTS = 30, 200
_TEXT = re.compile(r"(?P<prefix>[A-Za-z]*)(?P<quote>'''|\"\"\"|'|\")(?P<body>.*)(?P=quote)", re.DOTALL)
_FSTRING_START = getattr(token, "FSTRING_START", -1)  # Python 3.12 splits f"…" into pieces
_FSTRING_END = getattr(token, "FSTRING_END", -1)
_DROPPED = {tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}


@dataclass(frozen=True, slots=True)
class Literals:
    """Literals that stay readable."""

    numbers: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()


def program_tokens(source: str, literals: Literals) -> list[str] | None:
    """Tokens of a program, marks of begin and end included, or None if this Python cannot tokenise it or nothing is left."""
    tokens: list[str] = []
    for kind, value in _tokens(source):
        if kind == "eol":
            if tokens and tokens[-1] != "<EOL>":
                tokens.append("<EOL>")
        elif kind == "number":
            tokens.append(f"<NUM_LIT:{value}>" if value in literals.numbers else "<NUM_LIT>")
        elif kind == "text":
            tokens.append(_text(value, literals.texts))
        elif kind == "other":
            tokens.append(value)
        else:
            return None
    while tokens and tokens[-1] == "<EOL>":
        tokens.pop()
    return ["<s>", *tokens, "</s>"] if tokens else None


def common_literals(sources: Iterable[str]) -> Literals:
    """The commonest numbers and texts of these programs; equally common ones in alphabetical order."""
    numbers, texts = Counter[str](), Counter[str]()
    for source in sources:
        for kind, value in _tokens(source):
            if kind == "number":
                numbers[value] += 1
            elif kind == "text" and (found := _TEXT.fullmatch(value)):
                texts[_escaped(found["body"])] += 1
    return Literals(_top(numbers, COMMON_NUMBERS), _top(texts, COMMON_TEXTS))


def _top(counts: Counter[str], size: int) -> frozenset[str]:
    return frozenset(sorted(counts, key=lambda name: (-counts[name], name))[:size])


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """Kind (eol, number, text, other, broken) and text, white space in it collapsed."""
    depth, pieces = 0, ""
    try:
        for item in tokenize.generate_tokens(io.StringIO(source).readline):
            value = " ".join(item.string.split())
            if item.type == _FSTRING_START or depth:
                depth += (item.type == _FSTRING_START) - (item.type == _FSTRING_END)
                pieces += value
                if not depth:
                    yield "text", pieces
                    pieces = ""
            elif item.type in {tokenize.NEWLINE, tokenize.NL}:
                yield "eol", ""
            elif item.type in _DROPPED or not value:
                continue
            elif item.type == tokenize.STRING:
                yield "text", value
            elif item.type == tokenize.NUMBER:
                yield "number", value
            else:
                yield "other", value.replace(" ", "")
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        yield "broken", ""


def _text(value: str, kept: frozenset[str]) -> str:
    found = _TEXT.fullmatch(value)
    if found is None:
        return "<STR_LIT>"
    body = _escaped(found["body"])
    inside = f"<STR_LIT:{body}>" if body in kept else "<STR_LIT>"
    return f"{found['prefix']}{found['quote']}{inside}{found['quote']}"


def _escaped(body: str) -> str:
    return body.replace(" ", "U+0020").replace(",", "U+002C")
