"""Rewrites a Python function into another one that does the same: clones whose label is true by construction.

Names of parameters and local variables are replaced, and wherever they occur these forms are exchanged for equal ones:

* ``for i in range(a, b)`` ↔ a counting ``while`` (where i and the bounds are not touched otherwise);
* ``while c`` → ``while True`` with a ``break``; ``if c: A else: B`` → ``if not c: B else: A``;
* ``x = a if c else b`` and ``return a if c else b`` → ``if`` statements; ``not (a and b)`` → ``not a or not b`` (and dually);
* ``x = [e for v in s if c]`` → a loop that appends; ``return e`` → ``result = e; return result``;
* two neighbouring assignments of constants or names that do not read each other's targets change places.

"The same" means: equal results, effects and order of calls for callers that pass arguments by position, in runs without errors about
unbound names, and if no bound of a ``range`` is anything but an integer. Functions that look at their own variables (``locals``, ``eval``,
``f"{x=}"`` …) are refused. Tests run hundreds of rewritten functions beside the originals.
"""

from __future__ import annotations

import ast
import copy
import random
import symtable
from collections.abc import Iterator, Sequence

_SEES_NAMES = {"locals", "globals", "vars", "eval", "exec", "dir", "__class__"}
_WORDS = (
    "value item entry data left right first second count index total current other target source flag number text key pair node part "
    "size limit start end step line token field head tail low high state found rest answer given probe row column amount offset"
)
_NAMES = _WORDS.split()
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Scope = (
    ast.FunctionDef
    | ast.AsyncFunctionDef
    | ast.Lambda
    | ast.ListComp
    | ast.SetComp
    | ast.DictComp
    | ast.GeneratorExp
    | ast.ClassDef
)


def rewrite(code: str, seed: int) -> str | None:
    """Another function with the behaviour of ``code`` (see the module's head), or None if nothing could be changed safely.

    Args:
        code: source of exactly one function definition.
        seed: chooses names and which forms are exchanged (each one with probability 3/4).
    """
    try:
        tree = ast.parse(code)
        function = tree.body[0]
        if len(tree.body) != 1 or not isinstance(function, ast.FunctionDef) or _unsafe(function):
            return None
        draw = random.Random(f"rewrite/{seed}")  # noqa: S311 - no secret
        fresh = _Fresh(function, draw)
        _Forms(draw, fresh).apply(function)
        ast.fix_missing_locations(tree)
        rename(function, fresh)
        found = ast.unparse(tree)
        compile(found, "<rewritten>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return found if found != ast.unparse(ast.parse(code)) else None


def rename(function: ast.FunctionDef, fresh: _Fresh) -> None:
    """Give parameters and local variables other names, in place, where the name means one thing in the whole function."""
    mapping = {name: fresh.name() for name in sorted(_renamable(function))}
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            node.id = mapping.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = mapping.get(node.arg, node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            node.name = mapping.get(node.name, node.name)


def _unsafe(function: ast.FunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in _SEES_NAMES:
            return True
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Match)):
            return True
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "" for v in node.values]
            if any(isinstance(p, str) and p.endswith("=") for p in parts):
                return True  # f"{x=}" prints the name
    return False


def _renamable(function: ast.FunctionDef) -> set[str]:
    """Names bound in the function's own scope and in none inside it, imports, nested functions, self and cls left out."""
    module = symtable.symtable(ast.unparse(function), "<function>", "exec")
    table = next(t for t in module.get_children() if t.get_type() == "function" and t.get_name() == function.name)
    own = {s.get_name() for s in table.get_symbols() if s.is_local() and not s.is_imported() and not s.is_namespace()}
    inner = {s.get_name() for child in _descendants(table) for s in child.get_symbols() if s.is_local()}
    keywords = {k.arg for node in ast.walk(function) if isinstance(node, ast.Call) for k in node.keywords if k.arg}
    recursive = keywords if _calls_itself(function) else set()
    return {n for n in own - inner - recursive if n not in {"self", "cls"} and not n.startswith("__")}


def _descendants(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _descendants(child)


def _calls_itself(function: ast.FunctionDef) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == function.name)
        or (isinstance(n, ast.Attribute) and n.attr == function.name)
        for n in ast.walk(function)
    )


class _Fresh:
    """Names that the function does not use yet."""

    def __init__(self, function: ast.FunctionDef, draw: random.Random) -> None:
        self._used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
        self._used |= {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)} | {function.name}
        self._used |= {n.name for n in ast.walk(function) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        self._pool = draw.sample(_NAMES, len(_NAMES))
        self._next = 0

    def name(self) -> str:
        """A new one each time."""
        while True:
            lap, place = divmod(self._next, len(self._pool))
            self._next += 1
            found = self._pool[place] + (str(lap + 1) if lap else "")
            if found not in self._used:
                self._used.add(found)
                return found


class _Forms:
    """Exchanges statement and expression forms in the function's own scope and in nested functions' bodies."""

    def __init__(self, draw: random.Random, fresh: _Fresh) -> None:
        self._draw, self._fresh = draw, fresh

    def apply(self, function: ast.FunctionDef) -> None:
        self._function = function
        _Logic(self._draw).visit(function)
        function.body = self._block(function.body)

    def _wants(self) -> bool:
        return self._draw.random() < 0.75

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in body:
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(statement, field, None)
                if inner and isinstance(inner[0], ast.stmt) and not isinstance(statement, _DEFINITIONS):
                    setattr(statement, field, self._block(inner))
            for handler in getattr(statement, "handlers", ()):
                handler.body = self._block(handler.body)
            result += self._exchange(statement) if self._wants() else [statement]
        return self._swap(result)

    def _exchange(self, statement: ast.stmt) -> list[ast.stmt]:
        match statement:
            case ast.For():
                return self._counting_while(statement)
            case ast.While(orelse=[]) if not (isinstance(statement.test, ast.Constant)):
                leave = ast.If(test=_negate(statement.test), body=[ast.Break()], orelse=[])
                return [ast.While(test=ast.Constant(True), body=[leave, *statement.body], orelse=[])]
            case ast.If(test=test, body=body, orelse=[_, *_] as other):
                return [ast.If(test=_negate(test), body=other, orelse=body)]
            case ast.Assign(targets=[ast.Name()], value=ast.IfExp() as choice):

                def assign(value: ast.expr) -> list[ast.stmt]:
                    return [ast.Assign(targets=copy.deepcopy(statement.targets), value=value)]

                return [ast.If(test=choice.test, body=assign(choice.body), orelse=assign(choice.orelse))]
            case ast.Return(value=ast.IfExp() as choice):
                return [ast.If(test=choice.test, body=[ast.Return(choice.body)], orelse=[ast.Return(choice.orelse)])]
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.ListComp() as made):
                return self._append_loop(statement, name, made)
            case ast.Return(value=ast.expr() as value) if not isinstance(value, (ast.Name, ast.Constant)):
                name = self._fresh.name()
                store = ast.Assign(targets=[ast.Name(name, ast.Store())], value=value)
                return [store, ast.Return(ast.Name(name, ast.Load()))]
        return [statement]

    def _counting_while(self, loop: ast.For) -> list[ast.stmt]:
        match loop:
            case ast.For(
                target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args, keywords=[]), orelse=[]
            ):
                pass
            case _:
                return [loop]
        if not 1 <= len(args) <= 2 or any(isinstance(a, ast.Starred) for a in args):
            return [loop]
        outside = _mentions(self._function, name) - _mentions(loop, name)
        if _stores([self._function], "range"):
            return [loop]
        if outside or _stores(loop.body, name) or _has_continue(loop.body) or _in_inner_scope(loop.body, name):
            return [loop]
        limit = self._fresh.name()
        begin: ast.expr = args[0] if len(args) == 2 else ast.Constant(0)
        return [
            ast.Assign(targets=[ast.Name(name, ast.Store())], value=begin),
            ast.Assign(targets=[ast.Name(limit, ast.Store())], value=args[-1]),
            ast.While(
                test=ast.Compare(ast.Name(name, ast.Load()), [ast.Lt()], [ast.Name(limit, ast.Load())]),
                body=[*loop.body, ast.AugAssign(ast.Name(name, ast.Store()), ast.Add(), ast.Constant(1))],
                orelse=[],
            ),
        ]

    def _append_loop(self, statement: ast.Assign, name: str, made: ast.ListComp) -> list[ast.stmt]:
        match made.generators:
            case [ast.comprehension(target=ast.Name(id=variable), iter=source, ifs=tests, is_async=0)]:
                pass
            case _:
                return [statement]
        guarded = any(isinstance(n, (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)) for n in ast.walk(self._function))
        if guarded or _in_inner_scope(self._function.body, name):
            return [statement]  # a half-filled list could be seen
        inside = [made.elt, source, *tests]
        if any(isinstance(n, (_Scope, ast.NamedExpr, ast.Await)) for part in inside for n in ast.walk(part)):
            return [statement]
        if name == variable or any(_mentions(part, name) for part in inside) or _mentions(source, variable):
            return [statement]
        other = self._fresh.name()
        for part in (made.elt, *tests):
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and node.id == variable:
                    node.id = other
        append = ast.Call(ast.Attribute(ast.Name(name, ast.Load()), "append", ast.Load()), [made.elt], [])
        body: list[ast.stmt] = [ast.Expr(append)]
        for test in reversed(tests):
            body = [ast.If(test=test, body=body, orelse=[])]
        loop = ast.For(target=ast.Name(other, ast.Store()), iter=source, body=body, orelse=[])
        return [ast.Assign(targets=statement.targets, value=ast.List([], ast.Load())), loop]

    def _swap(self, body: list[ast.stmt]) -> list[ast.stmt]:
        result = list(body)
        for place in range(len(result) - 1):
            if _independent(result[place], result[place + 1]) and self._wants():
                result[place], result[place + 1] = result[place + 1], result[place]
        return result


class _Logic(ast.NodeTransformer):
    """not (a and b) → not a or not b, and dually: both give a bool."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.BoolOp) and self._draw.random() < 0.75:
            other: ast.boolop = ast.Or() if isinstance(node.operand.op, ast.And) else ast.And()
            return ast.BoolOp(other, [ast.UnaryOp(ast.Not(), value) for value in node.operand.values])
        return node


def _negate(test: ast.expr) -> ast.expr:
    return (
        test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else ast.UnaryOp(ast.Not(), test)
    )


def _mentions(tree: ast.AST, name: str) -> set[int]:
    """Identities of the nodes that name ``name``."""
    return {
        id(n)
        for n in ast.walk(tree)
        if (isinstance(n, ast.Name) and n.id == name)
        or (isinstance(n, ast.arg) and n.arg == name)
        or (isinstance(n, ast.ExceptHandler) and n.name == name)
        or (isinstance(n, ast.alias) and name in {n.asname, n.name})
    }


def _stores(body: Sequence[ast.stmt], name: str) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.arg) and n.arg == name)
        for s in body
        for n in ast.walk(s)
    )


def _has_continue(body: Sequence[ast.stmt]) -> bool:
    """A ``continue`` of this loop: those of loops and functions inside do not count."""
    for statement in body:
        if isinstance(statement, ast.Continue):
            return True
        if isinstance(statement, (ast.For, ast.AsyncFor, ast.While)):
            if _has_continue(statement.orelse):
                return True
            continue
        if isinstance(statement, _DEFINITIONS):
            continue
        blocks = [getattr(statement, field, []) for field in ("body", "orelse", "finalbody")]
        blocks += [handler.body for handler in getattr(statement, "handlers", ())]
        if any(_has_continue(block) for block in blocks):
            return True
    return False


def _in_inner_scope(body: Sequence[ast.stmt], name: str) -> bool:
    return any(isinstance(n, _Scope) and _mentions(n, name) for s in body for n in ast.walk(s))


def _independent(first: ast.stmt, second: ast.stmt) -> bool:
    match first, second:
        case ast.Assign(targets=[ast.Name(id=a)], value=x), ast.Assign(targets=[ast.Name(id=b)], value=y):
            return a != b and _plain(x) and _plain(y) and not _mentions(y, a) and not _mentions(x, b)
    return False


def _plain(value: ast.expr) -> bool:
    """Constants, names, and lists and tuples of them: reading these calls nothing."""
    if isinstance(value, (ast.List, ast.Tuple)):
        return all(_plain(item) for item in value.elts)
    return isinstance(value, (ast.Constant, ast.Name)) or (isinstance(value, ast.Dict) and not value.keys)
