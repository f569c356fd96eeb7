"""What was rolled back counts as read but not as written, however the transaction came to its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import transactions
from openlineage_bridge_capture.drivers.transactions import (
    BEGIN,
    COMMIT,
    DATA,
    RELEASE,
    ROLLBACK,
    ROLLBACK_TO,
    SAVEPOINT,
    Step,
    Transaction,
    steps,
)
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_capture.sql.script import lineage

COPY = "CREATE TABLE copies AS SELECT id FROM orders"


def meanings(sql: str) -> list[str]:
    return [step.meaning for step in steps(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", [DATA]),
        ("BEGIN", [BEGIN]),
        (" begin immediate transaction ;", [BEGIN]),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", [BEGIN]),
        ("COMMIT WORK", [COMMIT]),
        ("end", [COMMIT]),
        ("/* so */ rollback -- it is", [ROLLBACK]),
        ("ABORT TRANSACTION", [ROLLBACK]),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a", [ROLLBACK_TO]),
        ('rollback to "A b"', [ROLLBACK_TO]),
        ("SAVEPOINT a", [SAVEPOINT]),
        ("RELEASE a; RELEASE SAVEPOINT b", [RELEASE, RELEASE]),
        ("PREPARE TRANSACTION 'x'", [COMMIT]),
        ("INSERT INTO t VALUES ('; rollback;')", [DATA]),
        ("DO $$ BEGIN; ROLLBACK; END $$", [DATA]),
        ("BEGIN; INSERT INTO t SELECT 1; COMMIT;", [BEGIN, DATA, COMMIT]),
    ],
)
def test_the_steps_of_a_text(sql, expected):
    assert expected == meanings(sql)


class Executions:
    """Executions of a real recording, by statement."""

    def __init__(self, host) -> None:
        self.host = host

    def of(self, sql: str) -> recorder.Execution:
        with self.host.running("r"):
            return recorder.statement(Statement(sql, "postgres", "postgres://h:5432", "db", "public"))

    def undone(self) -> list[str]:
        return [each.sql for each in recorder.peek("r").statements if each.rolled_back]


@pytest.fixture
def executions(host):
    return Executions(host)


def test_rolling_back_undoes_what_was_executed_since_the_beginning(executions):
    transaction = Transaction()
    transaction.add(executions.of("a"))
    transaction.begin()
    transaction.add(executions.of("b"))
    transaction.roll_back()
    assert ["b"] == executions.undone()


def test_a_statement_that_was_committed_once_is_not_undone(executions):
    transaction = Transaction()
    for end in (transaction.roll_back, transaction.commit, transaction.roll_back):
        transaction.add(executions.of("a"))
        end()
    assert [] == executions.undone()


def test_savepoints_undo_exactly_what_came_after_them(executions):
    transaction = Transaction()
    transaction.add(executions.of("before"))
    transaction.save("one")
    transaction.add(executions.of("kept"))
    transaction.save("two")
    transaction.add(executions.of("undone"))
    transaction.roll_back_to("TWO")
    transaction.add(executions.of("again"))
    transaction.release("one")
    transaction.roll_back_to("one")
    transaction.commit()
    assert ["undone"] == executions.undone()


def test_a_released_savepoint_shares_the_fate_of_what_is_around_it(executions):
    transaction = Transaction()
    transaction.save("outer")
    transaction.save("inner")
    transaction.add(executions.of("a"))
    transaction.release("inner")
    transaction.roll_back_to("outer")
    assert ["a"] == executions.undone()


def test_a_script_that_was_partly_rolled_back_counts_as_written(executions):
    transaction = Transaction()
    sql = "BEGIN; INSERT INTO a SELECT 1; ROLLBACK; INSERT INTO b SELECT 1"
    transaction.follow(steps(sql), executions.of(sql))
    assert [] == executions.undone()
    sql = "BEGIN; INSERT INTO a SELECT 1; INSERT INTO b SELECT 1; ROLLBACK"
    transaction.follow(steps(sql), executions.of(sql))
    assert [sql] == executions.undone()


def test_a_million_executions_in_one_transaction_take_the_memory_of_one(executions):
    transaction = Transaction()
    for _ in range(1_000):
        transaction.add(executions.of("a"))
    assert [1] == [len(part.executions) for part in transaction._parts]
    transaction.roll_back()
    assert ["a"] == executions.undone()


def test_savepoints_without_end_are_bounded(executions):
    transaction = Transaction()
    for number in range(transactions.MAX_SAVEPOINTS * 2):
        transaction.save(f"s{number}")
        transaction.add(executions.of(str(number % 7)))
    assert transactions.MAX_SAVEPOINTS >= len(transaction._parts)
    transaction.roll_back()
    assert 7 == len(executions.undone())


class Model:
    """The rule in the plainest way: a stack of savepoints, each with the numbers executed since."""

    def __init__(self) -> None:
        self.stack: list[tuple[str | None, list[int]]] = [(None, [])]
        self.undone: set[int] = set()

    def perform(self, step: Step, number: int) -> None:
        names = [name for name, _ in self.stack]
        if step.meaning == DATA:
            self.stack[-1][1].append(number)
        elif step.meaning == SAVEPOINT:
            self.stack.append((step.name, []))
        elif step.meaning == COMMIT:
            self.stack = [(None, [])]
        elif step.meaning == ROLLBACK:
            self.undone |= {each for _, part in self.stack for each in part}
            self.stack = [(None, [])]
        elif step.name in names:
            position = len(names) - 1 - names[::-1].index(step.name)
            tail = [each for _, part in self.stack[position:] for each in part]
            self.stack = self.stack[: position + (step.meaning == ROLLBACK_TO)]
            if step.meaning == RELEASE:
                self.stack[-1][1].extend(tail)
            else:
                self.undone |= set(tail)
                self.stack[-1] = (step.name, [])


@given(
    st.lists(
        st.one_of(
            st.just(Step(DATA)),
            st.sampled_from([Step(COMMIT), Step(ROLLBACK)]),
            st.builds(Step, st.sampled_from([SAVEPOINT, RELEASE, ROLLBACK_TO]), st.sampled_from(["a", "b"])),
        ),
        max_size=25,
    )
)
def test_any_sequence_of_steps_undoes_what_the_model_undoes(found):
    model, transaction, undone = Model(), Transaction(), set()

    class Execution:
        def __init__(self, number: int) -> None:
            self.subject = number

        def roll_back(self, times: int = 1) -> None:
            undone.add(self.subject)

    for number, step in enumerate(found):
        model.perform(step, number)
        transaction.follow((step,), Execution(number), autocommit=False)
    assert model.undone == undone


# ---- what the lineage makes of it


def walk(*texts: str):
    """Statements of a PostgreSQL connection; those that start with a minus were rolled back."""
    return lineage(
        Statement(
            text.removeprefix("-"), "postgres", "postgres://h", "w", "main", rolled_back=text.startswith("-")
        )
        for text in texts
    )


def short(tables) -> set[str]:
    return {table.name.removeprefix("w.main.") for table in tables}


def test_what_was_rolled_back_was_read_but_not_written():
    found = walk("-INSERT INTO o SELECT a FROM t", "-SELECT b FROM u")
    assert ({"t", "u"}, set()) == (short(found.inputs), short(found.outputs))
    assert (frozenset({0, 1}), frozenset({0})) == (found.touching, found.undone)


def test_what_was_made_and_rolled_back_is_no_input_of_the_same_transaction():
    found = walk("-CREATE TABLE tmp AS SELECT a FROM t", "-INSERT INTO o SELECT a FROM tmp")
    assert ({"t"}, set()) == (short(found.inputs), short(found.outputs))


def test_a_table_whose_making_was_rolled_back_is_an_input_of_those_who_read_it_later():
    found = walk("-CREATE TABLE x AS SELECT a FROM t", "CREATE TABLE o AS SELECT a FROM x")
    assert ({"t", "x"}, {"o"}) == (short(found.inputs), short(found.outputs))
    (output,) = found.outputs.values()
    assert {"x"} == short(table for table, _ in output.columns["a"])


def test_a_drop_that_was_rolled_back_changes_nothing():
    found = walk("CREATE TABLE o AS SELECT a FROM t", "-DROP TABLE o", "INSERT INTO p SELECT a FROM o")
    assert ({"t"}, {"o", "p"}) == (short(found.inputs), short(found.outputs))


def test_the_sql_facet_marks_what_would_have_written():
    texts = [("INSERT INTO o SELECT a FROM t", True), ("SELECT b FROM u", True), ("SELECT c FROM v", False)]
    recording = Recording(
        statements=tuple(
            Statement(sql, "postgres", "postgres://h", "w", "main", rolled_back=u) for sql, u in texts
        )
    )
    query = describe(recording).job_facets["sql"].query
    assert "-- rolled back\nINSERT INTO o SELECT a FROM t;\nSELECT b FROM u;\nSELECT c FROM v" == query
