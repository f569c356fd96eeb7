"""Credentials leave an event before anything of it is stored."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.redaction import is_secret, redacted, text
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4"

TEXTS = [
    ("postgres://al:s3cr%40t@db:5432/d", "postgres://al:***@db:5432/d"),
    ("jdbc:sqlserver://h;user=al;password=x1;db=d", "jdbc:sqlserver://h;user=al;password=***;db=d"),
    ("https://h/api?token=abc&page=2", "https://h/api?token=***&page=2"),
    ("https://a.blob.core.windows.net/c?sv=1&sig=abc%3D", "https://a.blob.core.windows.net/c?sv=1&sig=***"),
    ("host=h password=x dbname=d", "host=h password=*** dbname=d"),
    ("psql --db-password hunter2 -d x", "psql --db-password *** -d x"),
    ("CREATE USER al IDENTIFIED BY 'x y'", "CREATE USER al IDENTIFIED BY '***'"),
    ('CREATE USER al IDENTIFIED BY "x y" QUOTA 1M', 'CREATE USER al IDENTIFIED BY "***" QUOTA 1M'),
    ("CREATE USER al IDENTIFIED BY tiger;", "CREATE USER al IDENTIFIED BY ***;"),
    ("CREATE USER al IDENTIFIED BY PASSWORD '*94B'", "CREATE USER al IDENTIFIED BY PASSWORD '***'"),
    (
        "CREATE USER al IDENTIFIED WITH caching_sha2_password BY 'x'",
        "CREATE USER al IDENTIFIED WITH caching_sha2_password BY '***'",
    ),
    ("ALTER ROLE al PASSWORD 'x'", "ALTER ROLE al PASSWORD '***'"),
    (
        "COPY t FROM 's3://b' CREDENTIALS 'aws_access_key_id=k;aws_secret_access_key=x/y+z'",
        "COPY t FROM 's3://b' CREDENTIALS '***'",
    ),
    (
        "COPY t FROM 's3://b' WITH CREDENTIALS AS 'aws_secret_access_key=x;region=eu'",
        "COPY t FROM 's3://b' WITH CREDENTIALS AS 'aws_secret_access_key=***;region=eu'",
    ),
    (
        "COPY t FROM 's3://b' ACCESS_KEY_ID 'k' SECRET_ACCESS_KEY 'x'",
        "COPY t FROM 's3://b' ACCESS_KEY_ID 'k' SECRET_ACCESS_KEY '***'",
    ),
    (
        "CREATE SECRET (TYPE s3, SECRET 'abc', KEY_ID 'k')",
        "CREATE SECRET (TYPE s3, SECRET '***', KEY_ID 'k')",
    ),
    (
        "COPY INTO t FROM 's3://b' CREDENTIALS=(AWS_SECRET_KEY='abc')",
        "COPY INTO t FROM 's3://b' CREDENTIALS=(AWS_SECRET_KEY='***')",
    ),
    ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
    ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
    (f"with {JWT} in it", "with *** in it"),
    ("ghp_0123456789abcdef0123 and AKIAABCDEFGHIJKLMNOP", "*** and ***"),
    ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- x", "*** x"),
]

HARMLESS = [
    "SELECT u.password FROM users u WHERE u.token = t.token",
    "abfss://container@account.dfs.core.windows.net/secret/path",
    "git@github.com:acme/repo.git",
    "https://h:8080/path@2",
    "al@acme.com",
    "token_count",
    "the password is not here",
]


@pytest.mark.parametrize(("said", "expected"), TEXTS)
def test_secrets_in_texts(said, expected):
    """What stands where a secret stands, and what looks like one, is replaced; the rest can still be read."""
    assert expected == text(said)


@pytest.mark.parametrize("said", HARMLESS)
def test_harmless_texts_stay(said):
    """Names of columns, addresses and paths are no secrets."""
    assert said == text(said)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "clientSecret",
        "fs.s3a.secret.key",
        "apiKey",
        "API-KEY",
        "sasToken",
        "http.authorization",
        "spark.hadoop.fs.azure.account.key.acct",
        "AzureWebJobsStorage_connectionString",
        "pgpass.pass",
        "apikey",
    ],
)
def test_names_of_secrets(name):
    """However they are spelt."""
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "primary_key",
        "customer_key",
        "secret_name",
        "token_type",
        "tokens",
        "keyword",
        "compass",
        "passenger",
        "",
        "password_policy",
        "credential_id",
        "tokenUrl",
        "monkey",
        "authority",
        "access_level",
    ],
)
def test_names_of_other_things(name):
    """A part of a word, and what only tells about a secret, is none."""
    assert not is_secret(name)


def event(**facets):
    return json.dumps(
        {"run": {"runId": "1", "facets": facets}, "job": {"namespace": "n", "name": "j"}}
    ).encode()


def after(**facets):
    return json.loads(redacted(event(**facets)))["run"]["facets"]


def test_named_values_are_replaced_whatever_they_look_like():
    """Environment variables, parameters and tags are pairs; properties are fields."""
    variables = [{"name": "DB_PASSWORD", "value": "x"}, {"name": "HOME", "value": "/"}]
    expected = [{"name": "DB_PASSWORD", "value": "***"}, {"name": "HOME", "value": "/"}]

    actual = after(
        environmentVariables={"environmentVariables": variables},
        executionParameters={"parameters": [{"key": "api_key", "value": 17}]},
        spark_properties={"properties": {"spark.jdbc.password": "x", "spark.app.name": "a"}},
    )

    assert expected == actual["environmentVariables"]["environmentVariables"]
    assert [{"key": "api_key", "value": "***"}] == actual["executionParameters"]["parameters"]
    assert {"spark.jdbc.password": "***", "spark.app.name": "a"} == actual["spark_properties"]["properties"]


def test_a_pair_may_hold_other_secrets():
    """Beside name and value there may be fields of any name."""
    actual = after(x={"name": "pass", "value": "a", "password": "b"})

    assert {"name": "pass", "value": "***", "password": "***"} == actual["x"]


def test_columns_may_be_called_so():
    """A column called password has a type, a lineage and a profile: objects under that name, and its name, stay."""
    facets = {
        "schema": {"fields": [{"name": "password", "type": "varchar"}]},
        "columnLineage": {"fields": {"password": {"inputFields": [{"field": "token"}]}}},
        "dataQualityMetrics": {"columnMetrics": {"secret": {"nullCount": 3}}},
    }

    assert facets == after(**facets)


def test_an_event_without_secrets_is_the_same_bytes():
    """Nothing is written anew where nothing is taken out, even where it looked so at first."""
    plain, suspicious = event(x={"a": 1}), event(schema={"fields": [{"name": "password"}]})

    assert plain is redacted(plain)
    assert suspicious is redacted(suspicious)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff@", b'"password"', b"[" * 5000 + b'"secret"', b"null secret"]
)
def test_what_is_no_event_is_survived(body):
    """Whatever was sent, it can be kept for somebody to look at."""
    assert body == redacted(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"password": "hunter2', b'{"password": "***'),
        (b'{"token": "abc", "note": "\xff\xfe"', b'{"token": "***", "note": "\xff\xfe"'),
    ],
    ids=["cut off", "not UTF-8"],
)
def test_what_cannot_be_read_is_cleaned_all_the_same(body, expected):
    """It goes to quarantine, where its bytes are shown; whatever is no secret in it stays as it came."""
    assert expected == redacted(body)


def test_what_is_no_json_is_cleaned_as_text():
    """It goes to quarantine, where it is shown."""
    assert b"{postgres://al:***@h" == redacted(b"{postgres://al:x@h")


@given(
    st.recursive(
        st.text() | st.integers() | st.none() | st.sampled_from([said for said, _ in TEXTS]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["password", "name", "value", "key", "x"]), inner, max_size=4)
        ),
        max_leaves=10,
    )
)
def test_once_is_enough(value):
    """What was cleaned is clean, so that an event that is sent again is the same event."""
    once = redacted(json.dumps(value).encode())

    assert once == redacted(once)


@pytest.mark.parametrize("part", ["a.b-", "://", "x", "password=", ";a", "'", " --", "eyJ."])
def test_a_long_text_is_gone_through_once(part):
    """No text keeps the bridge busy: were any pattern's effort more than linear, this would take minutes."""
    said = "password " + part * (200_000 // len(part))

    assert text(said).startswith("password ")


def test_nothing_of_a_secret_is_in_the_store(tmp_path):
    """Neither in the inbox nor in quarantine: not one byte of the file knows it."""
    path, secret = tmp_path / "bridge.db", "hunter2-of-al"
    refused = json.dumps({"password": secret}).encode()
    with Store(path) as store, store.transaction():
        arrivals = [inspect(event(p={"db_password": secret}, sql=f"x://al:{secret}@h")), inspect(refused)]
        store.inbox.put(arrivals, receiver="test", now=0)

    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
    with sqlite3.connect(path) as connection:
        assert [(1,)] == connection.execute("SELECT count(*) FROM inbox").fetchall()
