"""Google Cloud Storage through its own client: what blobs, buckets and the transfer manager move."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from openlineage_bridge_capture.files import calls
from openlineage_bridge_capture.stores import transfers

Arguments = dict[str, Any]


def instrument_blob(module: ModuleType) -> None:
    """Record what blobs of this ``google.cloud.storage.blob`` read and write; doing it again changes nothing."""
    for name, record in BLOB.items():
        calls.wrap(module.Blob, name, record)


def instrument_bucket(module: ModuleType) -> None:
    """Copies that a bucket makes, in ``google.cloud.storage.bucket``."""
    for name in ("copy_blob", "move_blob", "rename_blob"):
        calls.wrap(module.Bucket, name, lambda given, result: _copied(given["blob"], result))


def instrument_client(module: ModuleType) -> None:
    """Downloads by address, in ``google.cloud.storage.client``."""
    calls.wrap(
        module.Client,
        "download_blob_to_file",
        lambda given, _: transfers.downloaded(
            _address(given["blob_or_uri"]), given["file_obj"], whole=_whole(given)
        ),
    )


def instrument_files(module: ModuleType) -> None:
    """Blobs that are open for writing, in ``google.cloud.storage.fileio``: they are written when they are closed."""
    calls.wrap(module.BlobWriter, "close", lambda given, _: transfers.wrote(url(given["self"]._blob)))  # noqa: SLF001  # the only way to its blob


def instrument_transfers(module: ModuleType) -> None:
    """Many blobs at once, on threads or in processes, in ``google.cloud.storage.transfer_manager``."""
    changes = [
        calls.wrap(module, "upload_many", _uploaded_many),
        calls.wrap(module, "download_many", _downloaded_many),
        calls.wrap(
            module,
            "upload_chunks_concurrently",
            lambda given, _: transfers.uploaded(given["filename"], url(given["blob"])),
        ),
        calls.wrap(
            module,
            "download_chunks_concurrently",
            lambda given, _: transfers.downloaded(url(given["blob"]), given["filename"]),
        ),
    ]
    calls.everywhere(changes)


def url(blob: Any) -> str:
    """The address of a blob (OpenLineage, "Naming": namespace ``gs://{bucket}``, name ``{object}``)."""
    return f"gs://{blob.bucket.name}/{blob.name}"


def _address(blob_or_uri: Any) -> str:
    return blob_or_uri if isinstance(blob_or_uri, str) else url(blob_or_uri)


def _whole(given: Arguments) -> bool:
    return given.get("start") is None and given.get("end") is None


def _uploaded(parameter: str) -> Callable[[Arguments, Any], None]:
    return lambda given, _: transfers.uploaded(given[parameter], url(given["self"]), given["self"].size)


def _downloaded(parameter: str) -> Callable[[Arguments, Any], None]:
    return lambda given, _: transfers.downloaded(url(given["self"]), given[parameter], whole=_whole(given))


def _uploaded_text(given: Arguments, _result: Any) -> None:
    transfers.wrote(url(given["self"]), given["self"].size)


def _downloaded_text(given: Arguments, result: Any) -> None:
    known = isinstance(result, bytes) and _whole(given)
    transfers.read(url(given["self"]), len(result) if known else None)


def _opened(given: Arguments, _result: Any) -> None:
    if str(given.get("mode", "r")).startswith("r"):
        transfers.read(url(given["self"]))


def _rewritten(given: Arguments, result: Any) -> None:
    """A large blob takes several calls, each of which but the last gives a token for the next."""
    if result[0] is None:
        _copied(given["source"], given["self"])


def _composed(given: Arguments, _result: Any) -> None:
    for source in given["sources"]:
        transfers.read(url(source))
    transfers.wrote(url(given["self"]), given["self"].size)


def _copied(source: Any, target: Any) -> None:
    transfers.copied(url(source), url(target))


def _uploaded_many(given: Arguments, results: Any) -> None:
    for (source, blob), result in zip(given["file_blob_pairs"], results, strict=False):
        if not isinstance(result, Exception):
            transfers.uploaded(source, url(blob))


def _downloaded_many(given: Arguments, results: Any) -> None:
    for (blob, target), result in zip(given["blob_file_pairs"], results, strict=False):
        if not isinstance(result, Exception):
            transfers.downloaded(url(blob), target)


BLOB: dict[str, Callable[[Arguments, Any], None]] = {
    "compose": _composed,
    "download_as_bytes": _downloaded_text,
    "download_as_string": _downloaded_text,
    "download_as_text": _downloaded_text,
    "download_to_file": _downloaded("file_obj"),
    "download_to_filename": _downloaded("filename"),
    "open": _opened,
    "rewrite": _rewritten,
    "upload_from_file": _uploaded("file_obj"),
    "upload_from_filename": _uploaded("filename"),
    "upload_from_string": _uploaded_text,
}
"""Methods of a blob that move its content. Deleting one is nothing to tell: that data is gone is no lineage."""
