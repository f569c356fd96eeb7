"""The share of ``tests/capture/sql_cases.txt`` that our extractor, openlineage_sql and DataHub's parser get right, and the time.

The other two need a virtual environment of their own, because DataHub's parser pins another sqlglot:

    python -m venv DIR && DIR/bin/pip install 'acryl-datahub[sql-parser]==1.7.0.17' openlineage-sql==1.54.0
    SQL_PARSERS=DIR/bin/python python bench/sql.py

Read the shares with care: our extractor was made right against these very cases, the other two were not.

What is lenient, for all three alike: names are compared without case; a table that is written may be among the inputs or not,
and so may its columns among what its columns are made of;
Snowflake stages, which have no standard name, may be told or not; a column may name what it depends on only indirectly
or leave it out. Scripts of several statements are given to DataHub's parser statement by statement, split by its own splitter,
and counted apart: following temporary tables and USE from one to the next is the caller's work there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "capture"))

import sql_cases

Found = dict[str, Any]
"""``inputs``: names; ``outputs``: columns by name, each a list of what it is made of, or None where not told."""

PARSERS = ("openlineage_bridge", "openlineage_sql", "datahub")
OTHER_NAMES = {
    "openlineage_sql": {"tsql": "mssql", "spark": "hive", "trino": "generic", "oracle": "generic"},
    "datahub": {"tsql": "mssql"},
}
"""What a parser calls a dialect, where that is not sqlglot's name."""


def ours(case: sql_cases.Case) -> Found:
    from openlineage_bridge_capture.recorder import Statement
    from openlineage_bridge_capture.sql.script import lineage

    result = lineage([Statement(case.sql, case.dialect, "warehouse", *sql_cases.PLACES[case.dialect])])
    if result.failures:
        raise ValueError(result.failures[0].reason)

    def name(table: Any) -> str:
        if table.namespace == "warehouse":
            return table.name
        return f"file:{table.name}" if table.namespace == "file" else f"{table.namespace}/{table.name}"

    return {
        "inputs": [name(table) for table in result.inputs],
        "outputs": {
            name(table): {
                column: [f"{name(source)}.{field}" for source, field in found]
                for column, found in output.columns.items()
            }
            for table, output in result.outputs.items()
        },
    }


def openlineage_sql(case: sql_cases.Case) -> Found:
    import openlineage_sql as parser

    catalog, schema = sql_cases.PLACES[case.dialect]
    dialect = OTHER_NAMES["openlineage_sql"].get(case.dialect, case.dialect)
    result = parser.parse([case.sql], dialect=dialect, default_schema=schema)
    if result is None or result.errors:
        raise ValueError(str(result and result.errors))

    def name(table: Any) -> str:
        parts = [table.database or catalog, table.schema, table.name]
        return ".".join(part for part in parts if part)

    columns = {
        column.descendant.name: [f"{name(each.origin)}.{each.name}" for each in column.lineage if each.origin]
        for column in result.column_lineage
    }
    return {
        "inputs": [name(table) for table in result.in_tables],
        "outputs": {name(table): columns for table in result.out_tables},
    }


def is_script(case: sql_cases.Case) -> bool:
    """Whether the case has several statements."""
    return ";" in case.sql.rstrip("; \n")


def datahub(case: sql_cases.Case) -> Found:
    from datahub.sql_parsing.split_statements import split_statements
    from datahub.sql_parsing.sqlglot_lineage import create_lineage_sql_parsed_result

    catalog, schema = sql_cases.PLACES[case.dialect]
    platform = OTHER_NAMES["datahub"].get(case.dialect, case.dialect)
    found: Found = {"inputs": [], "outputs": {}}
    for statement in split_statements(case.sql) if is_script(case) else [case.sql]:
        result = create_lineage_sql_parsed_result(
            statement,
            default_db=catalog,
            default_schema=schema,
            platform=platform,
            platform_instance=None,
            env="PROD",
            override_dialect=case.dialect,
        )
        if result.debug_info.table_error:
            raise result.debug_info.table_error
        found["inputs"] += [_of_urn(urn) for urn in result.in_tables]
        for urn in result.out_tables:
            found["outputs"].setdefault(_of_urn(urn), {})
        for column in result.column_lineage or []:
            if column.downstream.table:
                sources = [f"{_of_urn(each.table)}.{each.column}" for each in column.upstreams]
                columns = found["outputs"].setdefault(_of_urn(column.downstream.table), {})
                columns.setdefault(column.downstream.column, []).extend(sources)
    return found


def _of_urn(urn: str) -> str:
    """The name in ``urn:li:dataset:(urn:li:dataPlatform:s3,bucket/key,PROD)``, with a scheme where it is no table."""
    platform, name, _ = urn.removeprefix("urn:li:dataset:(urn:li:dataPlatform:").rsplit(",", 2)
    schemes = {"s3": "s3://", "gcs": "gs://", "abs": "abfss://", "file": "file:"}
    return schemes.get(platform, "") + name


RUNNERS: dict[str, Callable[[sql_cases.Case], Found]] = {
    "openlineage_bridge": ours,
    "openlineage_sql": openlineage_sql,
    "datahub": datahub,
}


def run(parser: str) -> list[dict[str, Any]]:
    """What a parser finds for every case, and the seconds it takes."""
    results = []
    for case in sql_cases.load():
        started = time.perf_counter()
        try:
            found = RUNNERS[parser](case)
        except ImportError:
            raise
        except BaseException as error:  # a panic of a Rust extension is none of Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        results.append({**found, "seconds": time.perf_counter() - started})
    return results


def elsewhere(parser: str) -> list[dict[str, Any]] | None:
    """The same in the environment of the other parsers; None when there is none."""
    python = os.environ.get("SQL_PARSERS", sys.executable)
    done = subprocess.run([python, __file__, parser], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def tables_right(case: sql_cases.Case, found: Found) -> bool:
    """Whether the tables read and written are those expected."""
    if "error" in found:
        return False
    wanted = _fold(case.outputs)
    inputs = {each for each in _fold(found["inputs"]) if "@" not in each.split("://")[0]}
    outputs = {each for each in _fold(found["outputs"]) if "@" not in each.split("://")[0]}
    return wanted == outputs and _fold(case.inputs) - wanted == inputs - wanted


def columns_right(case: sql_cases.Case, found: Found) -> bool:
    """Whether every column of the judged tables is made of what is expected."""
    told = {name.lower(): columns or {} for name, columns in found.get("outputs", {}).items()}
    written = _fold(case.outputs)
    for name, columns in case.outputs.items():
        if columns is None:
            continue
        mine = {
            column.lower(): {each for each in _fold(sources) if each.rpartition(".")[0] not in written}
            for column, sources in told.get(name.lower(), {}).items()
        }
        mine = {column: sources for column, sources in mine.items() if sources}
        for column, (direct, indirect) in columns.items():
            sources = mine.pop(column.lower(), set())
            if not _fold(direct) <= sources <= _fold(direct | indirect):
                return False
        if mine:
            return False
    return True


def _fold(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def share(right: Iterable[bool]) -> str:
    """How many of them."""
    answers = list(right)
    return f"{sum(answers)} of {len(answers)} ({100 * sum(answers) / len(answers):.0f} %)"


def show(parser: str, results: list[dict[str, Any]] | None) -> None:
    import report

    report.heading(parser)
    if results is None:
        print("  not run: SQL_PARSERS names no Python that has it")
        return
    pairs = list(zip(sql_cases.load(), results, strict=True))
    single = [pair for pair in pairs if not is_script(pair[0])]
    scripts = [pair for pair in pairs if pair not in single]
    judged = [pair for pair in pairs if any(columns is not None for columns in pair[0].outputs.values())]
    for what, chosen in (("one statement", single), ("several statements", scripts), ("all", pairs)):
        report.figure(f"{what}: tables right", share(tables_right(*pair) for pair in chosen))
    report.figure("tables and columns right", share(tables_right(*p) and columns_right(*p) for p in judged))
    report.figure(
        "of these in one statement",
        share(tables_right(*p) and columns_right(*p) for p in judged if p in single),
    )
    report.figure("gave up", str(sum("error" in found for found in results)))
    report.figure(
        "a case, in the middle", f"{1000 * sorted(r['seconds'] for r in results)[len(results) // 2]:.2f} ms"
    )


def by_dialect(everything: dict[str, list[dict[str, Any]] | None]) -> None:
    """Tables and columns right, dialect by dialect."""
    import report

    report.heading("all right, by dialect")
    cases = sql_cases.load()
    for dialect in sql_cases.PLACES:
        shares = [
            sum(
                tables_right(case, found) and columns_right(case, found)
                for case, found in zip(cases, results, strict=True)
                if case.dialect == dialect
            )
            for results in everything.values()
            if results is not None
        ]
        total = sum(case.dialect == dialect for case in cases)
        report.figure(f"{dialect} ({total})", "  ".join(f"{each:3}" for each in shares))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run(sys.argv[1])))
    else:
        all_results = {
            parser: run(parser) if parser == PARSERS[0] else elsewhere(parser) for parser in PARSERS
        }
        for parser_name, found_by_it in all_results.items():
            show(parser_name, found_by_it)
        by_dialect(all_results)
