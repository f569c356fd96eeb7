"""Amazon S3 and what speaks its language, through boto3, botocore and aiobotocore.

Transfers (``upload_file`` and its kin) are recorded as a whole where they begin, because they go on in threads and many calls;
every other call by its operation. An upload in parts counts when it is completed.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.files import calls
from openlineage_bridge_capture.stores import transfers

Parameters = Mapping[str, Any]

PARTS = ("Range", "PartNumber")
"""Parameters of ``GetObject`` with which it gives a part of the object."""

_MARK = "__openlineage_bridge__"


def instrument(module: ModuleType) -> None:
    """Record the calls of every client of this ``botocore.client``; doing it again changes nothing."""
    calls.wrap(
        module.BaseClient,
        "_make_api_call",
        lambda given, result: _called(given["self"], given["operation_name"], given["api_params"], result),
    )


def instrument_aio(module: ModuleType) -> None:
    """The same for the coroutines of ``aiobotocore.client``."""
    original = vars(module.AioBaseClient)["_make_api_call"]
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    async def _make_api_call(self: Any, operation_name: str, api_params: Parameters) -> Any:
        result = await original(self, operation_name, api_params)
        if recorder.active() and not calls.inside():
            calls.guarded(lambda: _called(self, operation_name, api_params, result))
        return result

    setattr(_make_api_call, _MARK, True)
    module.AioBaseClient._make_api_call = _make_api_call  # noqa: SLF001  # where every operation passes


def instrument_transfer(module: ModuleType) -> None:
    """Transfers of local files by their path, in ``boto3.s3.transfer``."""
    calls.wrap(
        module.S3Transfer,
        "upload_file",
        lambda given, _: transfers.uploaded(given["filename"], url(given["bucket"], given["key"])),
    )
    calls.wrap(
        module.S3Transfer,
        "download_file",
        lambda given, _: transfers.downloaded(url(given["bucket"], given["key"]), given["filename"]),
    )


def instrument_inject(module: ModuleType) -> None:
    """Transfers of open files and between buckets, in ``boto3.s3.inject``: what clients get as methods is taken from there."""
    calls.wrap(
        module,
        "upload_fileobj",
        lambda given, _: transfers.uploaded(given["Fileobj"], url(given["Bucket"], given["Key"])),
    )
    calls.wrap(
        module,
        "download_fileobj",
        lambda given, _: transfers.downloaded(url(given["Bucket"], given["Key"]), given["Fileobj"]),
    )
    calls.wrap(module, "copy", lambda given, _: _copied(given, None))


def url(bucket: str, key: str) -> str:
    """The address of an object (OpenLineage, "Naming": namespace ``s3://{bucket}``, name ``{key}``)."""
    return f"s3://{bucket}/{key}"


def source_url(source: str | Parameters) -> str:
    """The address of what is copied: ``CopySource`` is a dictionary, or ``bucket/key``, quoted, with or without a version.

    A client's ``CopySource`` has been made quoted text by the time that its call succeeded, whatever it was before.
    """
    if isinstance(source, Mapping):
        return url(source["Bucket"], source["Key"])
    bucket, _, key = source.partition("?versionId=")[0].lstrip("/").partition("/")
    return url(bucket, unquote(key))


def _called(client: Any, operation: str, parameters: Parameters, result: Any) -> None:
    record = OPERATIONS.get(operation)
    if record is not None and client.meta.service_model.service_name == "s3":
        record(parameters, result)


def _got(parameters: Parameters, result: Any) -> None:
    whole = not any(parameters.get(name) for name in PARTS)
    transfers.read(_url(parameters), result.get("ContentLength") if whole else None)


def _put(parameters: Parameters, _result: Any) -> None:
    """What was sent is a file by now: botocore makes one of text and bytes, in memory."""
    body = parameters.get("Body", b"")
    if isinstance(body, io.BytesIO) and not body.closed:
        transfers.wrote(_url(parameters), body.getbuffer().nbytes)
    else:
        transfers.uploaded(body, _url(parameters))


def _completed(parameters: Parameters, _result: Any) -> None:
    transfers.wrote(_url(parameters))


def _copied(parameters: Parameters, _result: Any) -> None:
    transfers.copied(source_url(parameters["CopySource"]), _url(parameters))


def _copied_part(parameters: Parameters, _result: Any) -> None:
    """A part of an upload that somebody completes."""
    transfers.read(source_url(parameters["CopySource"]))


def _selected(parameters: Parameters, _result: Any) -> None:
    transfers.read(_url(parameters))


def _url(parameters: Parameters) -> str:
    return url(parameters["Bucket"], parameters["Key"])


OPERATIONS: dict[str, Callable[[Parameters, Any], None]] = {
    "CompleteMultipartUpload": _completed,
    "CopyObject": _copied,
    "GetObject": _got,
    "PutObject": _put,
    "SelectObjectContent": _selected,
    "UploadPartCopy": _copied_part,
}
"""Operations that move an object's content. Deleting one is nothing to tell: that data is gone is no lineage."""
