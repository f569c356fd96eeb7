"""What is known of each DuckDB connection: what its names mean, what is attached to it, its open transaction.

What is asked of DuckDB itself (which databases are attached, whether a name is a table, which columns a table has) is asked on a
cursor of our own, never on the user's connection, whose pending result it would discard. Such a cursor does not see what an
open transaction has made, so columns of that are asked for at its commit. Catalogs of other systems that are attached
(PostgreSQL, MySQL, MotherDuck) are not asked: DuckDB would fetch them whole over the network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from openlineage_bridge_capture.drivers import attached, transactions
from openlineage_bridge_capture.drivers.catalogs import MAX_ROWS, Questions, Row, guarded
from openlineage_bridge_capture.drivers.duckdb_texts import Text
from openlineage_bridge_capture.drivers.places import IN_MEMORY, Place
from openlineage_bridge_capture.drivers.transactions import Transaction
from openlineage_bridge_capture.recorder import Execution
from openlineage_bridge_capture.recording import Catalog

_USE = re.compile(r"(?:^|;)\s*use\s+([^;]+)", re.IGNORECASE)
_SET_SCHEMA = re.compile(
    r"(?:^|;)\s*set\s+(?:session\s+|global\s+|local\s+)?(?:schema|search_path)\s*(?:=|\bto\b)\s*'?([^;',]+)",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(
    r'\btemp(?:orary)?\s+(?:table|view)\s+(?:if\s+not\s+exists\s+)?"?(\w+)', re.IGNORECASE
)
_IDENTIFIER = re.compile(r'"([^"]+)"|([^\s".]+)')

_DATABASES = "SELECT database_name, path, type FROM duckdb_databases() WHERE NOT internal"
_IS_TABLE = "SELECT 1 FROM duckdb_tables() WHERE table_name ILIKE ? UNION ALL SELECT 1 FROM duckdb_views() WHERE view_name ILIKE ?"
_COLUMNS = f"""
SELECT database_name, schema_name, table_name, column_name, data_type
FROM duckdb_columns()
WHERE NOT internal AND list_contains($names, lower(table_name))
  AND (lower(schema_name) = lower($schema) OR list_contains($names, lower(schema_name)))
ORDER BY database_name, schema_name, table_name, column_index
LIMIT {MAX_ROWS}
"""


@attrs.define(eq=False)
class State:
    """What is known of one connection.

    Args:
        place: Where unqualified names are; what is attached to it are its catalogs.
        attachments: How many attachments there had been in this process when they were looked up.
        transaction: What its open transaction executed.
        ephemeral: Lower-case names that are no tables of any database.
        questions: What its catalog was asked.
        pending: Names that the open transaction may have defined.
    """

    place: Place
    attachments: int
    transaction: Transaction
    ephemeral: set[str] = attrs.field(factory=set)
    questions: Questions = attrs.field(factory=Questions)
    pending: set[str] = attrs.field(factory=set)

    @property
    def may_ask(self) -> bool:
        """Whether its catalog holds tables that others can see, and none that DuckDB would have to fetch."""
        catalogs = self.place.catalogs
        mine = [catalog for catalog in catalogs if catalog.namespace.startswith("duckdb:///")]
        local = [catalog for catalog in catalogs if catalog.namespace == IN_MEMORY]
        return bool(mine) and len(mine) + len(local) == len(catalogs)


_states: WeakKeyDictionary[Any, State] = WeakKeyDictionary()
_attachments = 0


def of(connection: Any) -> State:
    """The state of a connection, up to date with what was attached meanwhile."""
    state = _states.get(connection)
    if state is None:
        state = _states[connection] = _first_sight(connection)
    elif state.attachments != _attachments:
        state.attachments = _attachments
        state.place = _place(state.place.catalog, state.place.schema, _catalogs(connection))
    return state


def known(connection: Any) -> State | None:
    """The state of a connection that was used before."""
    return _states.get(connection)


def _first_sight(connection: Any) -> State:
    with connection.cursor() as cursor:
        catalog, schema = cursor.execute("SELECT current_database(), current_schema()").fetchall()[0]
    place = _place(catalog, schema, _catalogs(connection))
    return State(place, _attachments, transactions.of(connection))


def _place(catalog: str | None, schema: str | None, catalogs: tuple[Catalog, ...]) -> Place:
    namespaces = {each.alias: each.namespace for each in catalogs}
    return Place("duckdb", namespaces.get(catalog or "", IN_MEMORY), catalog, schema, catalogs)


def _catalogs(connection: Any) -> tuple[Catalog, ...]:
    with connection.cursor() as cursor:
        rows = cursor.execute(_DATABASES).fetchall()
    return tuple(sorted((_catalog(*row) for row in rows), key=lambda catalog: catalog.alias))


def _catalog(alias: str, path: str | None, kind: str) -> Catalog:
    if path and path.startswith("md:"):
        return attached.motherduck(alias, path)
    if kind in attached.SYSTEMS:
        return attached.SYSTEMS[kind](alias, path or "") or Catalog(alias, IN_MEMORY, alias)
    if not path or kind != "duckdb":
        return Catalog(alias, IN_MEMORY, alias)
    # The name DuckDB itself gives a database that is opened without an alias.
    name = os.path.basename(path).partition(".")[0] or alias  # noqa: PTH119  # it may be a URL
    return Catalog(alias, f"duckdb://{path if '://' in path else os.path.abspath(path)}", name)  # noqa: PTH100  # no symlinks


def place_while_attaching(connection: Any, state: State) -> Place:
    """The place of a script that attaches or detaches: with every catalog there was before or is now.

    Other connections of the database look again too.
    """
    global _attachments  # noqa: PLW0603  # attaching is seen by every connection of the database
    _attachments += 1
    before, now = state.place, of(connection).place
    catalogs = {catalog.alias: catalog for catalog in (*before.catalogs, *now.catalogs)}
    return _place(now.catalog, now.schema, tuple(catalogs.values()))


def is_table(connection: Any, name: str) -> bool:
    """Whether a table or view has this name anywhere."""
    with connection.cursor() as cursor:
        return bool(cursor.execute(_IS_TABLE, [name, name]).fetchall())


def look_up(connection: Any, state: State, text: Text, execution: Execution | None) -> None:
    """Ask for the columns of the tables that a statement mentions, unless they were asked for before."""
    names = state.questions.to_ask(execution, text.names, again=text.defines)
    if names and state.transaction.is_open and text.defines:
        state.pending.update(names)
    if names:
        _ask(connection, state, names)


def look_up_pending(connection: Any, state: State) -> None:
    """Ask for what a transaction defined that was committed now."""
    names, state.pending = sorted(state.pending), set()
    if names:
        _ask(connection, state, names)


def _ask(connection: Any, state: State, names: list[str]) -> None:
    if not state.may_ask:
        return

    def ask() -> None:
        with connection.cursor() as cursor:
            found = cursor.execute(_COLUMNS, {"names": names, "schema": state.place.schema}).fetchall()
        state.questions.record(_rows(found, state.place.catalogs))

    guarded("DuckDB", ask)


def _rows(found: Iterable[tuple[str, str, str, str, str]], known: Iterable[Catalog]) -> Iterator[Row]:
    """Named as the lineage of a statement names them: DuckDB compares names without case."""
    visible = {catalog.alias: catalog for catalog in known if catalog.namespace != IN_MEMORY}
    for database, schema, table, column, kind in found:
        if database in visible:
            name = f"{visible[database].name}.{schema}.{table}".lower()
            yield visible[database].namespace, name, column, kind


def follow(sql: str, state: State) -> None:
    """Keep up with what a statement changed about the names of the next ones."""
    for name in _USE.findall(sql) + _SET_SCHEMA.findall(sql):
        _use([quoted or plain for quoted, plain in _IDENTIFIER.findall(name)], state)
    state.ephemeral.update(name.lower() for name in _TEMPORARY.findall(sql))


def _use(parts: list[str], state: State) -> None:
    """``USE a.b`` names catalog and schema, ``USE a`` a catalog if there is one of that name, else a schema."""
    catalogs = state.place.catalogs
    known = {catalog.alias: catalog for catalog in catalogs}
    if len(parts) > 1:
        state.place = _place(parts[0], parts[1], catalogs)
    elif parts and parts[0] in known:
        state.place = _place(parts[0], known[parts[0]].schema, catalogs)
    elif parts:
        state.place = _place(state.place.catalog, parts[0], catalogs)
