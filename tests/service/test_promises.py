"""The promises and the tests that prove them name each other: ``docs/spec/delivery.md`` is complete, and true of the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECIFICATION = (ROOT / "docs" / "spec" / "delivery.md").read_text()
NUMBER = re.compile(r"\bG\d\d\b")

PROMISES: dict[str, list[str]] = {
    section[:3]: re.findall(r"^\* `(tests/[\w/.]+::\w+)`$", section, flags=re.MULTILINE)
    for section in SPECIFICATION.split("\n### ")[1:]
}
"""By number, the tests that are said to prove it."""

NUMBERED = ("pipeline", "reliability", "server", "service", "store")
"""Folders of the service's own tests: what proves a promise carries its number, in its docstring or that of its file."""


@lru_cache
def numbers_in(file: Path) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """The numbers that a file of tests carries, and by test those in its docstring."""
    tree = ast.parse(file.read_text())
    tests = {
        node.name: frozenset(NUMBER.findall(ast.get_docstring(node) or ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    return frozenset(NUMBER.findall(ast.get_docstring(tree) or "")), tests


def carried() -> Iterator[tuple[str, str, str]]:
    """Number, file and test (empty for the file itself) wherever a docstring carries one."""
    for file in sorted({*(ROOT / "tests").rglob("test_*.py")} - {Path(__file__)}):
        own, tests = numbers_in(file)
        name = file.relative_to(ROOT).as_posix()
        yield from ((number, name, "") for number in own)
        yield from ((number, name, test) for test, found in tests.items() for number in found)


def test_every_number_is_there_once():
    """G01 to G33, each with RFC 2119's words and at least one test."""
    assert [f"G{number:02d}" for number in range(1, 34)] == sorted(PROMISES)
    assert len(PROMISES) == SPECIFICATION.count("\n### ")
    for section in SPECIFICATION.split("\n### ")[1:]:
        assert re.search(r"\b(MUST|MAY|SHOULD)\b", section), section[:40]
    assert not [number for number, tests in PROMISES.items() if not tests]


@pytest.mark.parametrize("number", PROMISES)
def test_what_is_cited_is_there(number):
    """The test exists, and those of the service say themselves what they prove."""
    for cited in PROMISES[number]:
        file, test = cited.split("::")
        own, tests = numbers_in(ROOT / file)
        assert test in tests, cited
        assert file.split("/")[1] not in NUMBERED or number in own | tests[test], cited


def test_what_carries_a_number_is_cited():
    """A test under its number; a file that carries one, with one of its tests."""
    missing = [
        (number, file, test)
        for number, file, test in carried()
        if not any(each.startswith(f"{file}::{test}") for each in PROMISES.get(number, []))
    ]
    assert not missing
