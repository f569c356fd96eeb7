"""Azure Blob Storage through its own client, synchronous: what blob clients upload and download."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from openlineage_bridge_capture.files import calls
from openlineage_bridge_capture.stores import transfers

Arguments = dict[str, Any]


def instrument(module: ModuleType) -> None:
    """Record what the clients of this ``azure.storage.blob._blob_client`` read and write; doing it again changes nothing."""
    for name, record in CLIENT.items():
        calls.wrap(module.BlobClient, name, record)


def url(client: Any) -> str:
    """The address of a blob (OpenLineage, "Naming": namespace ``wasbs://{container}@{service}``, name ``{blob}``)."""
    return f"wasbs://{client.container_name}@{client.primary_hostname}/{client.blob_name}"


def _uploaded(given: Arguments, _result: Any) -> None:
    data = given["data"]
    if isinstance(data, bytes):
        transfers.wrote(url(given["self"]), len(data))
    else:
        transfers.uploaded(data, url(given["self"]), given.get("length"))


def _downloaded(given: Arguments, result: Any) -> None:
    whole = given.get("offset") is None and given.get("length") is None
    transfers.read(url(given["self"]), result.size if whole else None)


def _committed(given: Arguments, _result: Any) -> None:
    transfers.wrote(url(given["self"]))


def _copied(given: Arguments, _result: Any) -> None:
    transfers.copied(given["source_url"], url(given["self"]))


CLIENT: dict[str, Callable[[Arguments, Any], None]] = {
    "commit_block_list": _committed,
    "download_blob": _downloaded,
    "start_copy_from_url": _copied,
    "upload_blob": _uploaded,
    "upload_blob_from_url": _copied,
}
"""Methods of a blob's client that move its content."""
