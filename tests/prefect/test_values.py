"""The pure parts: transitions, parameters, names of assets, references to parents."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_prefect import assets, parameters, transitions
from openlineage_bridge_prefect.identity import RunReference, parse_reference

STATE_TYPES = [
    *transitions.TERMINAL,
    *transitions.BETWEEN,
    *transitions.SILENT,
    "RUNNING",
    "NEW_IN_PREFECT_4",
]
RUN_ID = "0192f7a0-0000-7000-8000-000000000001"


@given(st.lists(st.sampled_from(STATE_TYPES)))
def test_a_run_starts_first_and_ends_once(state_types) -> None:
    """Whatever the states: START before all else and once, nothing after the end, and one end at most."""
    emitted: list[str] = []
    started = finished = False
    for state_type in state_types:
        types = transitions.event_types(state_type, started=started, finished=finished)
        started, finished = (
            started or bool(types),
            finished or (bool(types) and state_type in transitions.TERMINAL),
        )
        emitted.extend(types)
    ends = [event for event in emitted if event in transitions.TERMINAL.values()]

    assert emitted.count("START") == bool(emitted)
    assert emitted[:1] in ([], ["START"])
    assert ends in ([], emitted[-1:])


@given(st.sets(st.sampled_from(STATE_TYPES), min_size=1))
def test_a_terminal_state_always_ends_the_run(before) -> None:
    """An end is never lost, whether the run was seen to start or not."""
    for state_type, end in transitions.TERMINAL.items():
        for started in (False, True):
            assert transitions.event_types(state_type, started=started, finished=False)[-1] == end


@pytest.mark.parametrize(
    ("state_type", "started", "expected"),
    [
        ("RUNNING", False, ("START",)),
        ("RUNNING", True, ("RUNNING",)),
        ("SCHEDULED", True, ("OTHER",)),
        ("PAUSED", True, ("OTHER",)),
        ("SCHEDULED", False, ()),
        ("PENDING", False, ()),
        ("PENDING", True, ()),
        ("CANCELLING", True, ()),
        ("COMPLETED", True, ("COMPLETE",)),
        ("FAILED", False, ("START", "FAIL")),
        ("CRASHED", True, ("FAIL",)),
        ("CANCELLED", True, ("ABORT",)),
    ],
)
def test_what_a_state_says(state_type, started, expected) -> None:
    """The table of the run cycle."""
    assert expected == transitions.event_types(state_type, started=started, finished=False)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("number", 7, "7"),
        ("day", dt.date(2026, 5, 1), "2026-05-01"),
        ("path", PurePosixPath("/srv/in.csv"), "/srv/in.csv"),
        ("run", uuid.UUID(RUN_ID), RUN_ID),
        ("nothing", None, "None"),
        ("frame", object(), "<object>"),
        ("months", (1, 2), "[1, 2]"),
        ("months", [1, 2], "[1, 2]"),
        ("days", [dt.date(2026, 5, 1), None], '["2026-05-01", null]'),
        ("urls", ["postgres://ann:s3cret@db/shop"], '["postgres://ann:***@db/shop"]'),
        ("tokens", ["s3cret"], "***"),
        ("rows", [[1], [2]], "<list>"),
        ("rows", tuple(range(1000)), "<tuple>"),
        ("long", "x" * 1000, "x" * parameters.MAX_VALUE),
        ("url", "postgres://ann:s3cret@db:5432/shop", "postgres://ann:***@db:5432/shop"),
        ("password", "s3cret", "***"),
        ("db_passwd", "s3cret", "***"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret", "***"),
        ("apiKey", "s3cret", "***"),
        ("auth", "s3cret", "***"),
        ("author", "Ann", "Ann"),
        ("passenger_id", 4, "4"),
        ("keys_to_compare", "id", "id"),
    ],
)
def test_how_a_parameter_is_shown(name, value, expected) -> None:
    """Scalars as they are, short lists of them as JSON, everything else by its type, secrets not at all."""
    (copy,) = parameters.copies({name: value})

    assert expected == parameters.shown(copy)


def test_a_copy_does_not_follow_the_users_object() -> None:
    """What the run changes after its start is not what it was called with."""
    values = {"first": 1}
    copies = parameters.copies(values)
    values["second"] = 2

    assert [copy.name for copy in copies] == ["first"]
    assert parameters.copies(None) == ()


@given(st.from_regex(r"[A-Za-z0-9._~%-]{0,20}", fullmatch=True), st.text(max_size=30), st.text(max_size=2000))
def test_a_password_in_a_url_is_never_shown(user, host, filler) -> None:
    """Wherever the URL stands in the text and wherever the text is cut."""
    text = f"{filler} scheme://{user}:PASSW0RD@{host}"
    (copy,) = parameters.copies({"text": text})

    assert "PASSW0RD@" not in parameters.shown(copy)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("s3://lake/orders/2026.parquet", ("s3://lake", "orders/2026.parquet")),
        ("gs://bucket/a", ("gs://bucket", "a")),
        ("abfss://c@acct.dfs.core.windows.net/x/y", ("abfss://c@acct.dfs.core.windows.net", "x/y")),
        ("hdfs://name:8020/a/b", ("hdfs://name:8020", "a/b")),
        ("s3://lake", ("s3://lake", "/")),
        ("postgres://db.acme.io/shop/public/orders", ("postgres://db.acme.io:5432", "shop.public.orders")),
        ("postgresql://ann@db:6543/shop/public/orders", ("postgres://db:6543", "shop.public.orders")),
        ("mysql://db/shop/orders", ("mysql://db:3306", "shop.orders")),
        ("snowflake://org-acct/DB/S/T", ("snowflake://org-acct", "DB.S.T")),
        ("bigquery://project/dataset/table", ("bigquery", "project.dataset.table")),
        ("file:///srv/report.xlsx", ("file", "/srv/report.xlsx")),
        ("kafka://broker:9092/topic", ("kafka://broker:9092", "topic")),
        ("mysql://ann:s3cret@db/shop/orders", ("mysql://db:3306", "shop.orders")),
        ("sftp://ann:s3cret@host/in", ("sftp://host", "in")),
        # Not all of a table's name, and nothing that a dataset is called: the key says what it says.
        ("postgres://ann:s3cret@db/shop/orders?x=s3cret", ("postgres://db", "shop/orders")),
        ("duckdb://warehouse", ("duckdb://warehouse", "/")),
        ("postgres://ann:s3cr@t@db/shop/public/orders", ("postgres://db", "shop/public/orders")),
    ],
)
def test_the_dataset_of_an_asset_key(key, expected) -> None:
    """Names follow the OpenLineage naming specification."""
    assert expected == assets.identity(key)


@given(st.from_regex(r"[a-z][a-z0-9+.]{0,8}://[A-Za-z0-9._:@/\-]{0,40}", fullmatch=True))
def test_every_asset_key_has_a_dataset(key) -> None:
    """A key of any shape gives a namespace and a name that an event may carry."""
    namespace, name = assets.identity(key)

    assert namespace
    assert name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"ns/job/{RUN_ID}", RunReference(RUN_ID, "ns", "job")),
        (f"http://host:5000/x/job.task/{RUN_ID}", RunReference(RUN_ID, "http://host:5000/x", "job.task")),
        (f"job/{RUN_ID}", None),
        (f"/job/{RUN_ID}", None),
        ("ns/job/not-a-uuid", None),
        ("", None),
    ],
)
def test_a_parent_reference_is_split_from_the_right(text, expected) -> None:
    """A namespace may hold slashes; what is no reference is ignored."""
    assert expected == parse_reference(text)
