"""A PostgreSQL connection as psycopg 3 and psycopg2 share it: where it is, its transaction, and what its catalog is asked.

The default schema is the server's to know (``search_path`` may be set for a role, a database or a session), so it is asked
once per connection, after the user's first statement, and again only on connections that change it. Both drivers ask inside
the transaction that the user's statement opened, never opening one. The question for columns stands behind a savepoint there,
so that not even its failure (a ``statement_timeout``, a cancelled query) can harm the user's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import catalogs, connections, places, texts, transactions
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.texts import Text
from openlineage_bridge_capture.drivers.transactions import COMMIT, ROLLBACK, Step, Transaction

CURRENT_SCHEMA = "SELECT current_schema()"

DEFAULT_SCHEMA = "public"
"""The server's default, for a connection that could not be asked: inside a pipeline, on an asynchronous psycopg2 one."""

OLDEST = 90_000
"""The first version with a catalog and savepoints as they are used here; Redshift, which says 8.0, has no savepoints."""

IDLE, ACTIVE, INSIDE, FAILED, UNKNOWN = range(5)
"""libpq's ``PGTransactionStatusType``, as both drivers tell it. A question changes nothing when idle in autocommit or inside a
transaction; otherwise it would open one."""

SAVE = "SAVEPOINT openlineage_bridge"
RELEASE = "RELEASE SAVEPOINT openlineage_bridge"
UNDO = "ROLLBACK TO SAVEPOINT openlineage_bridge"

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relname IN ({names}) AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
  AND (n.nspname = pg_catalog.current_schema() OR n.nspname IN ({names}))
  AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!' AND n.nspname <> 'information_schema'
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY n.nspname, c.relname, a.attnum
LIMIT {rows}
"""


Rows = list[tuple[Any, ...]]
"""The answer to a question."""


@attrs.frozen
class Question:
    """What is asked on the user's connection.

    Args:
        sql: The question.
        protected: Whether it stands behind a savepoint (``SAVE``), which is released when it is answered.
    """

    sql: str
    protected: bool = False


@attrs.frozen
class Teller:
    """What a driver tells of a connection without asking its server.

    Args:
        is_inside: Whether a transaction is open.
        may_ask: Whether a question can be asked now, and changes nothing.
        version: The server's.
    """

    is_inside: Callable[[Any], bool]
    may_ask: Callable[[Any], bool]
    version: Callable[[Any], int]


@attrs.define(eq=False)
class State:
    """What is known of one connection.

    Args:
        place: Where it is; its schema is None until the server was asked.
        transaction: What its open transaction executed.
        moves: Whether statements of this connection change its schema, so that it is asked each time.
        ephemeral: Lower-case names of its temporary tables.
        questions: What its catalog was asked.
    """

    place: Place
    transaction: Transaction
    moves: bool = False
    ephemeral: set[str] = attrs.field(factory=set)
    questions: catalogs.Questions = attrs.field(factory=catalogs.Questions)

    @property
    def must_ask(self) -> bool:
        """Whether the server has to say what the current schema is."""
        return self.moves or self.place.schema is None

    def learn(self, schema: str | None) -> None:
        """Keep the server's answer."""
        if schema != self.place.schema:
            self.place = attrs.evolve(self.place, schema=schema)

    def learn_columns(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Keep the answer to what ``about`` asks."""
        place = self.place
        self.questions.record(
            (place.namespace, f"{place.catalog}.{schema}.{table}", str(column), str(kind))
            for schema, table, column, kind in rows
        )

    def record(self, text: Text, run: recorder.RunKey | None) -> recorder.Execution | None:
        """Hand a statement that succeeded to the recorder, for a run that is known or the current one."""
        place = self.place
        if place.schema is None:
            place = attrs.evolve(place, schema=DEFAULT_SCHEMA)
        return recorder.statement(place.statement(text.sql, text.among(self.ephemeral)), run=run)

    def follow(
        self, text: Text, execution: recorder.Execution | None, *, outcome: str | None, inside: bool
    ) -> None:
        """Keep up with the transaction.

        Args:
            text: What was executed.
            execution: What was recorded of it.
            outcome: The server's word for what it did: ``ROLLBACK`` is its answer to COMMIT after a failure.
            inside: Whether a transaction is open after it.
        """
        steps = text.steps
        if outcome == "ROLLBACK" and steps == (Step(COMMIT),):
            steps = (Step(ROLLBACK),)
        self.transaction.follow(steps, execution, autocommit=not inside)

    def about(self, text: Text, execution: recorder.Execution | None, version: int) -> str | None:
        """What to ask the catalog after this execution; None when there is nothing to ask.

        Args:
            text: What was executed.
            execution: What was recorded of it.
            version: The server's.
        """
        if version < OLDEST or self.place.catalog is None:
            return None
        names = self.questions.to_ask(execution, text.names, again=text.defines)
        # Names with these are left out rather than quoted: how a backslash reads is a setting of the session.
        quoted = ", ".join(f"'{name}'" for name in names if "'" not in name and "\\" not in name)
        return _COLUMNS.format(names=quoted, rows=catalogs.MAX_ROWS) if quoted else None


_states: WeakKeyDictionary[Any, State] = WeakKeyDictionary()


def state_of(connection: Any) -> State | None:
    """What is known of a connection; None for one of the orchestrator's own."""
    return None if connections.is_hosts_own(connection) else _state(connection)


def _state(connection: Any) -> State:
    state = _states.get(connection)
    if state is None:
        info = connection.info
        place = places.postgres(info.host, info.port, info.dbname, None)
        state = _states[connection] = State(place, transactions.of(connection))
    return state


def known(connection: Any) -> State | None:
    """The state of a connection that was used before."""
    return _states.get(connection)


def recording(cursor: Any, sql: str, teller: Teller) -> Generator[Question, Rows, None]:
    """Record a statement that succeeded, and keep up with what it changed.

    Gives what is to be asked meanwhile, and is sent the answer, or thrown the error that the server answered with.

    Args:
        cursor: The driver's, which executed it.
        sql: Its text.
        teller: The driver's.
    """
    connection, text, run = cursor.connection, texts.read(sql), None
    if connections.is_hosts_own(connection):
        return
    if text.is_plain:
        run = recorder.attributed_run()
        if run is None:
            return
    state = _noted(connection, text)
    if not (text.moves_data or text.controls):
        return
    if state.must_ask and recorder.current_run() is not None and teller.may_ask(connection):
        ((schema,),) = yield Question(CURRENT_SCHEMA)
        state.learn(schema)
    execution = state.record(text, run) if text.moves_data else None
    if execution is None and not text.controls:
        return
    inside = teller.is_inside(connection)
    outcome = cursor.statusmessage if text.controls else None
    state.follow(text, execution, outcome=outcome, inside=inside or state.transaction.is_open)
    if catalogs.worth_asking(execution) and teller.may_ask(connection):
        question = state.about(text, execution, teller.version(connection))
        if question is not None:
            yield from _asking(state, Question(question, protected=inside))


def _noted(connection: Any, text: Text) -> State:
    """The state of a connection after this text."""
    state = _state(connection)
    if text.moves_names:
        state.moves = True
    if text.temporary:
        state.ephemeral |= text.temporary
    return state


def _asking(state: State, question: Question) -> Generator[Question, Rows, None]:
    """Ask for columns; inside a transaction back to the savepoint should the server say no."""
    try:
        rows = yield question
    except Exception:
        catalogs.complain("PostgreSQL")
        if question.protected:
            yield Question(f"{UNDO}; {RELEASE}")
        return
    state.learn_columns(rows)


def told(steps: Generator[Question, Rows, None], answer: Rows | Exception) -> Question | None:
    """The next question of a ``recording``, after the answer to the one before; None when there is none."""
    try:
        return steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration:
        return None


def undo(connection: Any) -> None:
    """The connection's transaction has ended without a commit: closed, lost, or the commit itself failed."""
    state = known(connection)
    if state is not None:
        state.transaction.roll_back()
