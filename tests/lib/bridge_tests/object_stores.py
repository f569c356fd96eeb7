"""Object stores of our own, on loopback: Amazon's language by moto's server, Google's by its emulator."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUCKETS = ("taxi-lake", "other-lake")


@contextmanager
def s3() -> Iterator[str]:
    """The address of an S3 with ``BUCKETS`` in it, which takes any credentials."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        client = pytest.importorskip("boto3").client("s3", endpoint_url=url, **CREDENTIALS)
        for bucket in BUCKETS:
            client.create_bucket(Bucket=bucket)
        yield url
    finally:
        server.stop()


CREDENTIALS = {
    "aws_access_key_id": "taxi",
    "aws_secret_access_key": "taxi",
    "region_name": "us-east-1",
}
"""What clients of that S3 are to be given, because none at all is an error."""


@contextmanager
def gcs() -> Iterator[str]:
    """The address of a Cloud Storage with ``BUCKETS`` in it, for clients without credentials (``STORAGE_EMULATOR_HOST``)."""
    server = pytest.importorskip("gcp_storage_emulator.server").create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    try:
        for bucket in BUCKETS:
            server._storage.create_bucket(bucket, {"name": bucket})
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    finally:
        server.stop()
