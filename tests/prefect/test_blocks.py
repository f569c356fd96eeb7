"""What tasks move through Prefect's blocks, on servers of our own: objects, tables, and never Prefect's own results."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

pytestmark = pytest.mark.system

# A task per line: inputs and outputs. {here} is the working directory, {postgres} and {snowflake} the databases.
GOLDEN = {
    "blocks.s3_paths": (
        ("file|{here}/folder/one.csv",),
        ("s3://other-lake|copied.csv", "s3://taxi-lake|in/folder/one.csv", "s3://taxi-lake|in/written.csv"),
    ),
    "asynchronous blocks.s3_asynchronous": (("file|{here}/two.csv",), ("s3://taxi-lake|two.csv",)),
    "blocks.gcs_frames": ((), ("file|{here}/three.csv", "gs://taxi-lake|frame.csv")),
    "blocks.sql_alchemy": ((), ("{postgres}|postgres.public.copies", "{postgres}|postgres.public.trips")),
    "asynchronous blocks.sql_alchemy_asynchronous": (
        ("{postgres}|postgres.public.trips",),
        ("{postgres}|postgres.public.sums",),
    ),
    "blocks.big_query": (("bigquery|acme.shop.orders",), ("bigquery|acme.shop.copies",)),
    "blocks.snowflake_connector": (("{snowflake}|SHOP.RAW.ORDERS",), ("{snowflake}|SHOP.RAW.COPIES",)),
}


@pytest.fixture(scope="module")
def closed_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def outcome(run_script, s3_server, gcs_server, postgres_server, warehouses, closed_port):
    """One process that runs all tasks."""
    for package in ("prefect_aws", "prefect_gcp", "prefect_snowflake", "prefect_sqlalchemy", "asyncpg"):
        pytest.importorskip(package)
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(
        f"host=127.0.0.1 port={postgres_server} user=postgres", autocommit=True
    ) as connection:
        connection.execute("DROP TABLE IF EXISTS trips, copies, sums")
    with (
        warehouses.running(warehouses.BigQuery) as big_query,
        warehouses.running(warehouses.Snowflake) as snowflake,
    ):
        google = f"http://127.0.0.1:{big_query}"
        yield run_script(
            "blocks.py",
            S3=s3_server,
            STORAGE_EMULATOR_HOST=gcs_server,
            BIGQUERY_EMULATOR_HOST=google,
            SERVICE_ACCOUNT=json.dumps(_service_account(f"{google}/token")),
            SNOWFLAKE_PORT=str(snowflake),
            POSTGRES_PORT=str(postgres_server),
            # Google's library asks Google where an account may be used from: there is no way out of this machine.
            HTTPS_PROXY=f"http://127.0.0.1:{closed_port}",
            NO_PROXY="127.0.0.1",
        )


def _service_account(token_uri: str) -> dict[str, str]:
    """A key that nobody knows, for a service that does not ask."""
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "acme",
        "private_key": key.decode(),
        "private_key_id": "1",
        "client_email": "taxi@acme.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }


def _names(datasets: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(f"{dataset['namespace']}|{dataset['name']}" for dataset in datasets))


def test_each_block_tells_what_it_moved(outcome, postgres_server) -> None:
    """S3Bucket, GcsBucket, SqlAlchemyConnector, BigQueryWarehouse and SnowflakeConnector, synchronous and not."""
    ends = {
        event["job"]["name"]: (_names(event["inputs"]), _names(event["outputs"]))
        for event in outcome.events
        if event["eventType"] == "COMPLETE" and event["job"]["facets"]["jobType"]["jobType"] == "TASK"
    }
    # Where the process ran is known by what it downloaded.
    here = next(name for name in ends["blocks.gcs_frames"][1] if name.startswith("file|"))[5:]
    names = {
        "here": here.removesuffix("/three.csv"),
        "postgres": f"postgres://127.0.0.1:{postgres_server}",
        "snowflake": "snowflake://acme-eu",
    }
    expected = {
        job: tuple(tuple(name.format(**names) for name in side) for side in sides)
        for job, sides in GOLDEN.items()
    }

    assert outcome.returncode == 0, outcome.stderr
    assert expected == ends


def test_prefects_own_results_are_nobodys_lineage(outcome, s3_server) -> None:
    """The results were persisted, in the bucket of the data, and no event speaks of them."""
    boto3 = pytest.importorskip("boto3")
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    listed = client.list_objects_v2(Bucket="taxi-lake", Prefix="results/")
    names = [each["name"] for event in outcome.events for each in event["inputs"] + event["outputs"]]

    assert ["results/aresult", "results/result"] == sorted(each["Key"] for each in listed["Contents"])
    assert not [name for name in names if "result" in name]
