"""Object stores through their own clients, on servers of our own: which objects and local files a run reads and writes."""

from __future__ import annotations

import asyncio
import contextvars
import io
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from bridge_tests.loopback import Handler, serving

from openlineage_bridge_capture import recorder, stores
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.stores import azure, ownership, s3

CREDENTIALS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
LAKE, OTHER = "s3://taxi-lake|", "s3://other-lake|"
MEGABYTE = 1 << 20


@pytest.fixture
def client(s3_server, host):
    """A client of boto3, inside the run ``r``, with ten bytes at ``there``."""
    stores.install()
    boto3 = pytest.importorskip("boto3")
    made = boto3.client("s3", endpoint_url=s3_server, **CREDENTIALS)
    made.put_object(Bucket="taxi-lake", Key="there", Body=b"0123456789")
    with host.running("r"):
        yield made


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A working directory with ten bytes in ``here``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_bytes(b"0123456789")
    return tmp_path


def _moved() -> tuple[dict[str, int | None], dict[str, int | None]]:
    """What the run ``r`` read and wrote, each with its bytes where they are known; the recording is over."""
    description = describe(recorder.take("r"))
    sides = []
    for datasets, facets, key in (
        (description.inputs, "inputFacets", "inputStatistics"),
        (description.outputs, "outputFacets", "outputStatistics"),
    ):
        statistics = [(getattr(each, facets) or {}).get(key, {}) for each in datasets]
        sides.append(
            {
                f"{each.namespace}|{each.name}": known.get("size")
                for each, known in zip(datasets, statistics, strict=True)
            }
        )
    return sides[0], sides[1]


def test_objects_that_are_put_and_got(client) -> None:
    """``put_object`` writes and ``get_object`` reads, with the object's size; a range is a part, whose size says nothing."""
    client.put_object(Bucket="taxi-lake", Key="a/b.csv", Body="grün".encode())
    client.get_object(Bucket="taxi-lake", Key="there")

    assert ({f"{LAKE}there": 10}, {f"{LAKE}a/b.csv": 5}) == _moved()

    client.get_object(Bucket="taxi-lake", Key="there", Range="bytes=0-3")

    assert ({f"{LAKE}there": None}, {}) == _moved()


def test_transfers_of_local_files(client, local) -> None:
    """``upload_file`` reads the file and writes the object, ``download_file`` the other way round; by resources too."""
    client.upload_file("here", "taxi-lake", "up")
    client.download_file("taxi-lake", "there", str(local / "down"))

    assert (
        {f"file|{local}/here": 10, f"{LAKE}there": 10},
        {f"{LAKE}up": 10, f"file|{local}/down": 10},
    ) == _moved()

    boto3 = pytest.importorskip("boto3")
    resource = boto3.resource("s3", endpoint_url=client.meta.endpoint_url, **CREDENTIALS)
    resource.Bucket("taxi-lake").upload_file("here", "up")
    resource.Object("taxi-lake", "there").download_file("down")

    assert (
        {f"file|{local}/here": 10, f"{LAKE}there": 10},
        {f"{LAKE}up": 10, f"file|{local}/down": 10},
    ) == _moved()


def test_transfers_of_open_files(client, local) -> None:
    """An open file is known by its name; a stream in memory has none."""
    with (local / "here").open("rb") as source:
        client.upload_fileobj(source, "taxi-lake", "up")
    with (local / "here").open("rb") as source:
        client.put_object(Bucket="taxi-lake", Key="put", Body=source)
    client.upload_fileobj(io.BytesIO(b"12"), "taxi-lake", "memory")
    with (local / "down").open("wb") as target:
        client.download_fileobj("taxi-lake", "there", target)
    client.download_fileobj("taxi-lake", "there", io.BytesIO())
    inputs, outputs = _moved()

    assert {f"file|{local}/here", f"{LAKE}there"} == set(inputs)
    assert {f"{LAKE}up", f"{LAKE}put", f"{LAKE}memory", f"file|{local}/down"} == set(outputs)


def test_an_upload_in_parts_is_one_write(client, local) -> None:
    """Large files go up in parts, on threads: one file is read, one object written, of the whole size."""
    (local / "large").write_bytes(b"x" * (11 * MEGABYTE))
    client.upload_file("large", "taxi-lake", "large")

    assert ({f"file|{local}/large": 11 * MEGABYTE}, {f"{LAKE}large": 11 * MEGABYTE}) == _moved()

    upload = client.create_multipart_upload(Bucket="taxi-lake", Key="parts")["UploadId"]
    arguments = {"Bucket": "taxi-lake", "Key": "parts", "UploadId": upload}
    part = client.upload_part(**arguments, PartNumber=1, Body=b"123")

    assert ({}, {}) == _moved()

    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    client.complete_multipart_upload(**arguments, MultipartUpload={"Parts": parts})

    assert ({}, {f"{LAKE}parts": None}) == _moved()


def test_copies(client) -> None:
    """``copy_object`` and the managed ``copy`` read one object and write the other, however the source is written."""
    client.put_object(Bucket="taxi-lake", Key="a b", Body=b"1")
    recorder.take("r")
    client.copy_object(Bucket="other-lake", Key="copy", CopySource="taxi-lake/a b")
    client.copy({"Bucket": "taxi-lake", "Key": "there"}, "other-lake", "managed")

    assert (
        {f"{LAKE}a b": None, f"{LAKE}there": None},
        {f"{OTHER}copy": None, f"{OTHER}managed": None},
    ) == _moved()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("bucket/a/b", "s3://bucket/a/b"),
        ("/bucket/a%20b?versionId=3", "s3://bucket/a b"),
        ({"Bucket": "bucket", "Key": "a%20b", "VersionId": "3"}, "s3://bucket/a%20b"),
    ],
)
def test_the_source_of_a_copy_is_named_in_several_ways(source, expected) -> None:
    """Text is quoted and may name a version; a dictionary is neither."""
    assert expected == s3.source_url(source)


def test_what_fails_is_not_recorded(client, local) -> None:
    """No object, no bucket: nothing was read and nothing written."""
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="taxi-lake", Key="missing")
    with pytest.raises(client.exceptions.ClientError):
        client.download_file("taxi-lake", "missing", "down")
    with pytest.raises(Exception, match="NoSuchBucket"):
        client.upload_file("here", "no-such-bucket", "up")

    assert ({}, {}) == _moved()


def test_what_moves_no_data_is_not_recorded(client) -> None:
    """Looking, listing and deleting."""
    client.head_object(Bucket="taxi-lake", Key="there")
    client.list_objects_v2(Bucket="taxi-lake")
    client.get_object_attributes(Bucket="taxi-lake", Key="there", ObjectAttributes=["ObjectSize"])
    client.delete_object(Bucket="taxi-lake", Key="deleted")

    assert ({}, {}) == _moved()


def test_a_file_of_this_run_is_no_input(client, local) -> None:
    """A file that the run wrote itself before it is uploaded is on the way, not a source; one of ``tempfile`` is nothing."""
    client.download_file("taxi-lake", "there", "on-the-way")
    client.upload_file("on-the-way", "other-lake", "up")

    assert (
        {f"{LAKE}there": 10},
        {f"file|{local}/on-the-way": 10, f"{OTHER}up": 10},
    ) == _moved()


def test_threads_that_carry_the_context_do_not_record_twice(client, local) -> None:
    """A transfer's own threads are part of it, whether or not they know the run."""
    (local / "large").write_bytes(b"x" * (9 * MEGABYTE))
    contexts = [contextvars.copy_context() for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for number, context in enumerate(contexts):
            pool.submit(context.run, client.upload_file, "large", "taxi-lake", f"up-{number}").result()

    assert (
        {f"file|{local}/large": 9 * MEGABYTE},
        {f"{LAKE}up-0": 9 * MEGABYTE, f"{LAKE}up-1": 9 * MEGABYTE},
    ) == _moved()


def test_outside_every_run_nothing_is_counted(s3_server, host) -> None:
    """Clients that are used outside a run leave no trace, not even a count."""
    stores.install()
    boto3 = pytest.importorskip("boto3")
    boto3.client("s3", endpoint_url=s3_server, **CREDENTIALS).put_object(
        Bucket="taxi-lake", Key="k", Body=b""
    )

    assert 0 == recorder.unattributed()


def test_the_orchestrators_own_objects_are_left_out(client, monkeypatch) -> None:
    """What a collector gives to the host, synchronous or not, and on threads that take the context along."""
    owner = ModuleType("owner")

    def persist() -> None:
        client.put_object(Bucket="taxi-lake", Key="result", Body=b"")

    async def apersist() -> None:
        await asyncio.to_thread(persist)

    owner.persist, owner.apersist = persist, apersist
    for name in ("persist", "apersist", "missing"):
        ownership.give_to_host(owner, name)
    owner.persist()
    asyncio.run(owner.apersist())

    assert ({}, {}) == _moved()

    persist()

    assert ({}, {f"{LAKE}result": 0}) == _moved()


def test_dagsters_own_objects_are_left_out(client) -> None:
    """Dagster's packages call on the same thread: an IO manager's pickle is nobody's lineage, a user's object is."""
    source = "def call(function, *args, **kwargs):\n    return function(*args, **kwargs)\n"
    package = {"__name__": "dagster_aws.s3.io_manager"}
    exec(source, package)
    package["call"](client.put_object, Bucket="taxi-lake", Key="pickle", Body=b"")

    assert ({}, {}) == _moved()

    package["call"](lambda: client.put_object(Bucket="taxi-lake", Key="users", Body=b""))

    assert ({}, {f"{LAKE}users": 0}) == _moved()


def test_aiobotocore(client) -> None:
    """Coroutines are recorded like calls; s3fs, which stands on them, is recorded where files are."""
    session = pytest.importorskip("aiobotocore.session").get_session()

    async def move() -> None:
        async with session.create_client("s3", endpoint_url=client.meta.endpoint_url, **CREDENTIALS) as aio:
            await aio.put_object(Bucket="taxi-lake", Key="aio", Body=b"12")
            await (await aio.get_object(Bucket="taxi-lake", Key="there"))["Body"].read()

    asyncio.run(move())

    assert ({f"{LAKE}there": 10}, {f"{LAKE}aio": 2}) == _moved()


# ---- Google Cloud Storage


GS = "gs://taxi-lake|"


@pytest.fixture
def bucket(gcs_server, host, monkeypatch):
    """A bucket of google-cloud-storage, inside the run ``r``, with ten bytes at ``there``."""
    stores.install()
    storage = pytest.importorskip("google.cloud.storage")
    credentials = pytest.importorskip("google.auth.credentials").AnonymousCredentials()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    made = storage.Client(project="taxi", credentials=credentials).bucket("taxi-lake")
    made.blob("there").upload_from_string(b"0123456789")
    with host.running("r"):
        yield made


def test_blobs_up_and_down(bucket, local) -> None:
    """By path, by open file, as bytes: local files are at the other end."""
    bucket.blob("path").upload_from_filename("here")
    with (local / "here").open("rb") as source:
        bucket.blob("file").upload_from_file(source)
    bucket.blob("text").upload_from_string("12")
    bucket.blob("there").download_to_filename("down")

    assert (
        {f"file|{local}/here": 10, f"{GS}there": 10},
        {f"{GS}path": 10, f"{GS}file": 10, f"{GS}text": 2, f"file|{local}/down": 10},
    ) == _moved()

    assert b"0123456789" == bucket.blob("there").download_as_bytes()
    assert ({f"{GS}there": 10}, {}) == _moved()

    bucket.blob("there").download_as_text(start=1, end=3)
    bucket.client.download_blob_to_file("gs://taxi-lake/path", io.BytesIO())

    assert ({f"{GS}there": None, f"{GS}path": None}, {}) == _moved()


def test_blobs_that_are_opened(bucket) -> None:
    """A blob is read when it is opened for reading, and written when it is closed."""
    with bucket.blob("there").open("rb") as source, bucket.blob("open").open("wb") as target:
        target.write(source.read())

        assert ({f"{GS}there": None}, {}) == _moved()

    assert ({}, {f"{GS}open": None}) == _moved()


def test_blobs_that_are_copied_and_composed(bucket) -> None:
    """Copies, rewrites and compositions within the store."""
    source = bucket.blob("there")
    bucket.copy_blob(source, bucket, "copied")
    bucket.blob("rewritten").rewrite(source)
    bucket.blob("composed").compose([source, bucket.blob("copied")])
    inputs, outputs = _moved()

    assert {f"{GS}there"} == set(inputs)
    assert {f"{GS}copied", f"{GS}rewritten", f"{GS}composed"} == set(outputs)


def test_many_blobs_at_once(bucket, local) -> None:
    """The transfer manager works on threads; what went wrong is not recorded."""
    manager = pytest.importorskip("google.cloud.storage.transfer_manager")
    pairs = [(str(local / "here"), bucket.blob("one")), (str(local / "missing"), bucket.blob("two"))]
    manager.upload_many(pairs, worker_type=manager.THREAD)

    assert ({f"file|{local}/here": 10}, {f"{GS}one": 10}) == _moved()

    manager.download_many([(bucket.blob("one"), str(local / "down"))], worker_type=manager.THREAD)

    assert ({f"{GS}one": 10}, {f"file|{local}/down": 10}) == _moved()


# ---- Azure Blob Storage


class _Blobs(Handler):
    """As much of Azure Blob Storage as one blob at a time needs."""

    def do_PUT(self) -> None:
        self.body()
        self._answer(201, b"")

    def do_GET(self) -> None:
        self._answer(206, b"0123456789")

    def _answer(self, status: int, body: bytes) -> None:
        about = {
            "Last-Modified": "Fri, 01 Jan 2021 00:00:00 GMT",
            "Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}",
            "ETag": '"1"',
            "x-ms-blob-type": "BlockBlob",
        }
        self.reply(body, status, about)


@pytest.fixture
def blob(host):
    """Makes blob clients of a server of our own, inside the run ``r``."""
    stores.install()
    service = pytest.importorskip("azure.storage.blob")
    with serving(_Blobs) as server, host.running("r"):
        yield lambda name: service.BlobClient(f"{server.url}/taxi", "lake", name, credential="a2V5")


def test_azure_blobs(blob, local) -> None:
    """Uploads and downloads; the account is a part of the path where it is none of the host."""
    host, _, account = blob("x").primary_hostname.partition("/")
    namespace = f"wasbs://lake@{host}|{account}/"
    blob("bytes").upload_blob(b"12", overwrite=True)
    with (local / "here").open("rb") as source:
        blob("a b").upload_blob(source, overwrite=True)
    blob("there").download_blob().readall()

    assert (
        {f"file|{local}/here": 10, f"{namespace}there": 10},
        {f"{namespace}bytes": 2, f"{namespace}a b": 10},
    ) == _moved()


def test_azure_blobs_are_named_by_container_and_service() -> None:
    """As the specification names them, whatever is quoted in the address."""
    service = pytest.importorskip("azure.storage.blob")
    client = service.BlobClient("https://acme.blob.core.windows.net", "lake", "a b/c.csv")

    assert "wasbs://lake@acme.blob.core.windows.net/a b/c.csv" == azure.url(client)
