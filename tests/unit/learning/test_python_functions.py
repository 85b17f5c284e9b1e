from __future__ import annotations

import textwrap

import pytest

from learning.sources.python_functions import first_paragraph, functions, usable_query

SOURCE = textwrap.dedent('''
    class Stack:
        """A stack."""

        @property
        def push_item(self, item, *rest, key=None, **options):
            """Push one item onto the stack.

            More text.
            """
            total = len(rest)
            for index, item in enumerate(rest):
                def inner():
                    "Inner secret docstring."
                    return index
                self.push_item(item, key=inner)
            return push_item(total, item, undeclared)

        def test_push(self):
            """Test that pushing one works."""
            a = 1
            return a
''')


def test_names_are_hidden_and_the_docstring_leaves_the_code() -> None:
    (only,) = functions(SOURCE)
    assert only.query == "Push one item onto the stack."
    assert only.name == "Stack.push_item"
    assert only.code.splitlines()[0] == "def Func(self, arg_0, *arg_2, arg_1=None, **arg_3):"
    assert "push_item" not in only.code
    assert "docstring" not in only.code
    assert "Push one" not in only.code
    assert "self.Func(arg_0" in only.code
    assert "return Func(var_0, arg_0, undeclared)" in only.code
    assert "property" not in only.code


def function(docstring: str, name: str = "work", body: str = "a = 1\n    return a") -> str:
    return f'def {name}(x):\n    """{docstring}"""\n    {body}\n'


@pytest.mark.parametrize(
    "source",
    [
        function("Two words"),
        function("word " * 257),
        function("Größe einer Liste messen."),
        function("See https://example.org for what this does."),
        function(">>> work(1) gives two"),
        function("Return the value given.", name="__call__"),
        function("Return the value given.", name="run_tests"),
        function("Return the value given.", body="return x"),
        "def work(:\n",
        "x = '\0'",
        "(" * 5_000,
        "x = " + "-" * 100_000 + "1",
        "",
    ],
)
def test_unusable_sources_yield_nothing(source: str) -> None:
    assert list(functions(source)) == []


def test_global_names_stay() -> None:
    (only,) = functions(function("Count one more call.", body="global calls\n    calls = 1\n    return calls"))
    assert "calls = 1" in only.code


def test_functions_under_conditions_and_async_are_found() -> None:
    source = "if True:\n" + textwrap.indent("async " + function("Return the value given."), "    ")
    assert [f.name for f in functions(source)] == ["work"]


def test_code_is_never_executed(capsys: pytest.CaptureFixture[str]) -> None:
    source = "print('executed')\nraise SystemExit\n" + function("Return the value given.")
    assert len(list(functions(source))) == 1
    assert capsys.readouterr().out == ""


def test_invalid_escape_in_a_source_is_not_our_warning() -> None:
    assert len(list(functions(function("Return the value given.", body="a = '\\d'\n    return a")))) == 1


def test_first_paragraph_collapses_white_space() -> None:
    assert first_paragraph("  One\n   two.\n  \n three") == "One two."
    assert usable_query("One two three")
