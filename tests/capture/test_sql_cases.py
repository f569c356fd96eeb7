"""Statements of thirteen dialects give the tables and columns that ``sql_cases.txt`` says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from openlineage_bridge_capture.recording import Statement
from openlineage_bridge_capture.sql.relations import Table
from openlineage_bridge_capture.sql.script import Lineage, lineage


def _sibling(name: str):
    """A module beside this one; loaded by path because tests are not a package."""
    spec = importlib.util.spec_from_file_location(
        f"bridge_tests_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table_of_cases = _sibling("sql_cases")
CASES = table_of_cases.load()
NAMESPACE = "warehouse://host"


def run(dialect: str, *texts: str) -> Lineage:
    catalog, schema = table_of_cases.PLACES[dialect]
    return lineage([Statement(text, dialect, NAMESPACE, catalog, schema) for text in texts])


def name_of(table: Table) -> str:
    if table.namespace == NAMESPACE:
        return table.name
    return f"file:{table.name}" if table.namespace == "file" else f"{table.namespace}/{table.name}"


def split(found) -> tuple[frozenset[str], frozenset[str]]:
    """The columns that a column is made of, and those it only depends on."""
    return tuple(
        frozenset(
            f"{name_of(table)}.{column}"
            for (table, column), how in found.items()
            if any(each.type == type_ for each in how)
        )
        for type_ in ("DIRECT", "INDIRECT")
    )


def written(result: Lineage, case) -> dict:
    return {
        name_of(table): None
        if case.outputs.get(name_of(table), {}) is None
        else {name: split(found) for name, found in output.columns.items()}
        for table, output in result.outputs.items()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tables_and_columns(case):
    result = run(case.dialect, case.sql)
    assert result.failures == ()
    assert case.inputs == frozenset(map(name_of, result.inputs))
    assert case.outputs == written(result, case)
