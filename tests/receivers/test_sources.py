"""Events are found wherever people keep them: patterns, archives, object stores, Marquez, and what other tools wrote."""

from __future__ import annotations

import gzip
import json
import zipfile
from urllib.parse import parse_qs, urlsplit

import pytest
import zstandard
from bridge_tests.loopback import Handler, serving
from bridge_tests.object_stores import BUCKETS, CREDENTIALS

from openlineage_bridge.errors import ConfigError, RetryLater
from openlineage_bridge.receivers.files import Reading, events_in
from openlineage_bridge.receivers.sources import find
from openlineage_bridge.receivers.wrapping import unwrapped

EVENTS = [{"job": {"namespace": "n", "name": str(number)}} for number in range(3)]
LINES = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)


def read(*arguments: str) -> list:
    """The events behind the arguments."""
    return [json.loads(found.body) for found in events_in(find(arguments))]


def names(*arguments: str) -> list[str]:
    return [each.name for each in find(arguments)]


# --- on this machine ------------------------------------------------------------------------------------------------


def test_pattern(tmp_path, monkeypatch):
    """A pattern that the shell left alone is followed, through folders too."""
    for name in ("a/one.jsonl", "a/b/two.jsonl", "a/b/three.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LINES)
    monkeypatch.chdir(tmp_path)

    assert ["a/b/two.jsonl", "a/one.jsonl"] == names("a/**/*.jsonl")
    assert ["a/one.jsonl"] == names("a/*.jsonl")


def test_file_url(tmp_path):
    """Is the file."""
    (tmp_path / "e.jsonl").write_bytes(LINES)

    assert EVENTS == read(f"file://{tmp_path}/e.jsonl")


def test_zip(tmp_path):
    """Its event files, each under its own name; others are left alone."""
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.jsonl", LINES)
        archive.writestr("a.jsonl.gz", gzip.compress(LINES))
        archive.writestr("readme.txt", "nothing")

    assert [f"{tmp_path}/e.zip!a.jsonl.gz", f"{tmp_path}/e.zip!b.jsonl"] == names(str(tmp_path / "e.zip"))
    assert EVENTS * 2 == read(str(tmp_path))


def test_zip_that_is_damaged(tmp_path):
    """Costs no other file, and is said."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("e.jsonl", LINES)
    packed = (tmp_path / "a.zip").read_bytes().replace(b'"name": "2"', b'"name": "7"', 1)
    (tmp_path / "a.zip").write_bytes(packed)
    (tmp_path / "b.jsonl").write_bytes(LINES)
    reading = Reading()
    found = [json.loads(each.body) for each in events_in(find([str(tmp_path)]), reading)]

    assert EVENTS == found[-3:]
    [problem] = reading.problems
    assert "a.zip!e.jsonl: the compressed file is cut off or damaged (Bad CRC-32" in problem


@pytest.mark.parametrize("frames", [1, 3])
def test_zstandard(tmp_path, frames):
    """One frame or several, as appending leaves it."""
    (tmp_path / "e.jsonl.zst").write_bytes(zstandard.compress(LINES) * frames)

    assert EVENTS * frames == read(str(tmp_path / "e.jsonl.zst"))


def test_zstandard_that_is_damaged(tmp_path):
    """Is said, and is no error."""
    many = b"".join(json.dumps(EVENTS[0] | {"n": number * 7919}).encode() + b"\n" for number in range(9000))
    packed = bytearray(zstandard.compress(many))
    packed[-200:] = bytes(200)
    (tmp_path / "e.zst").write_bytes(packed)
    reading = Reading()
    found = list(events_in(find([str(tmp_path / "e.zst")]), reading))

    assert len(found) < 9000
    [problem] = reading.problems
    assert "the compressed file is cut off or damaged" in problem


@pytest.mark.parametrize("mode", [{"append": True}, {}, {"debug_mode": True}], ids=str)
def test_what_the_clients_file_transport_wrote(tmp_path, mode):
    """In all of its modes, named as its configuration names it; the real client writes."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import Job, Run, RunEvent
    from openlineage.client.transport.file import FileConfig, FileTransport

    path = str(tmp_path / "openlineage")
    client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=path, **mode)))
    for number in range(3):
        client.emit(
            RunEvent(
                eventTime=f"2026-01-01T00:00:0{number}Z",
                run=Run(f"00000000-0000-4000-8000-00000000000{number}"),
                job=Job("n", str(number)),
                producer="https://example.com",
            )
        )

    assert ["0", "1", "2"] == sorted(each["job"]["name"] for each in read(path))


# --- elsewhere ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """A bucket with event files; fsspec is told of it as its users tell it, by the environment."""
    boto3, s3fs = pytest.importorskip("boto3"), pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS["aws_secret_access_key"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", CREDENTIALS["region_name"])
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3", endpoint_url=s3_server, **CREDENTIALS)
    client.create_bucket(Bucket="lake")
    for key, body in {
        "ol/a.jsonl": LINES,
        "ol/2026/b.jsonl.gz": gzip.compress(LINES),
        "ol/notes.txt": b"no",
    }.items():
        client.put_object(Bucket="lake", Key=key, Body=body)
    yield "s3://lake"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ol/a.jsonl", ["ol/a.jsonl"]),
        ("ol/", ["ol/2026/b.jsonl.gz", "ol/a.jsonl"]),
        ("ol/**/*.gz", ["ol/2026/b.jsonl.gz"]),
    ],
)
def test_object_store(bucket, path, expected):
    """An object, everything below a prefix, or a pattern; sizes are known before anything is read."""
    found = find([f"{bucket}/{path}"])

    assert [f"{bucket}/{each}" for each in expected] == [each.name for each in found]
    assert EVENTS * len(expected) == read(f"{bucket}/{path}")
    assert all(each.size for each in found)


def test_cloud_storage(gcs_server, monkeypatch):
    """``gs://`` likewise."""
    gcsfs = pytest.importorskip("gcsfs")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    gcsfs.GCSFileSystem.clear_instance_cache()
    with gcsfs.GCSFileSystem().open(f"{BUCKETS[0]}/ol/a.jsonl", "wb") as file:
        file.write(LINES)
    found = read(f"gs://{BUCKETS[0]}/ol/")
    gcsfs.GCSFileSystem.clear_instance_cache()

    assert EVENTS == found


def test_object_store_without_an_event_file(bucket):
    """Is refused, as an empty folder is."""
    with pytest.raises(ConfigError, match=r"no event file in s3://lake/nowhere/: looked for"):
        find([f"{bucket}/nowhere/"])


def test_object_store_whose_package_is_missing():
    """What to install is said."""
    with pytest.raises(ConfigError, match=r"nosuch://x/y: .*openlineage-bridge\[files\]"):
        find(["nosuch://x/y"])


class Marquez(Handler):
    """Answers its events as Marquez does, oldest first where it is asked to, 2 a page at most."""

    def do_GET(self):
        if self.server.broken:
            self.reply(b"<html>", self.server.broken)
            return
        asked = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append(asked)
        held = EVENTS if asked.get("sortDirection") == "asc" else EVENTS[::-1]
        start = int(asked["offset"])
        self.reply({"totalCount": len(EVENTS), "events": held[start : start + min(2, int(asked["limit"]))]})


@pytest.fixture
def marquez():
    with serving(Marquez, asked=[], broken=0) as server:
        yield server


def test_marquez(marquez):
    """Every page, the oldest event first; what the address asks for is asked for."""
    address = f"{marquez.url}/api/v1/events/lineage?after=2026-01-01T00:00:00Z"

    assert EVENTS == read(address)
    assert ["0", "2", "3"] == [each["offset"] for each in marquez.asked]
    assert {"2026-01-01T00:00:00Z"} == {each["after"] for each in marquez.asked}


@pytest.mark.parametrize("status", [200, 500])
def test_marquez_that_answers_something_else(marquez, status):
    """Is to be tried again later."""
    marquez.broken = status
    with pytest.raises(RetryLater, match=r"/events/lineage\?.* answers something|does not answer"):
        read(f"{marquez.url}/api/v1/events/lineage")


# --- wrapped --------------------------------------------------------------------------------------------------------

ONE, TWO = (json.dumps(event).encode() for event in EVENTS[:2])
WRAPPED = {
    "an event": (ONE, [ONE]),
    "an array": (b"[%s, %s]" % (ONE, TWO), [ONE, TWO]),
    "a page of Marquez": (b'{"events": [%s, %s], "totalCount": 7}' % (ONE, TWO), [ONE, TWO]),
    "a record of kcat": (b'{"topic":"t","offset":1,"payload":%s}' % json.dumps(ONE.decode()).encode(), [ONE]),
    "a tombstone": (b'{"topic":"t","key":"k","payload":null}', []),
    "a record of Kafka Connect": (b'{"schema": {"type": "struct"}, "payload": %s}' % ONE, [ONE]),
    "a key and an event": (b"n/job\t%s" % ONE, [ONE]),
    "a time, a key and an event": (b"CreateTime:1767225600000\tn/job\t%s" % ONE, [ONE]),
    "an event with a key of that name": (
        b'{"job": {"namespace": "n", "name": "x"}, "events": []}',
        [b'{"job": {"namespace": "n", "name": "x"}, "events": []}'],
    ),
    "a payload that is no JSON": (b'{"payload": "hello"}', [b'{"payload": "hello"}']),
    "another object": (b'{"a": 1}', [b'{"a": 1}']),
    "no JSON": (b"hello", None),
    "no JSON behind a tab": (b"key\t{hello", None),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_wrapping(case):
    """What stands around events is taken off; what is neither stays for the inbox to refuse."""
    body, expected = WRAPPED[case]

    assert expected == unwrapped(body)
