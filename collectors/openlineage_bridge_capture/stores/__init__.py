"""Object stores: what their own clients move, without SQL and without a file system of fsspec in between.

* ``ownership``   whose traffic it is: the user's, the orchestrator's own, or that of a library which is recorded elsewhere
* ``transfers``   from one object, read or written, to what the recorder gets
* ``s3``          boto3 and aiobotocore
* ``gcs``         google-cloud-storage
* ``azure``       azure-storage-blob
"""

from __future__ import annotations

from openlineage_bridge_capture.imports import when_imported
from openlineage_bridge_capture.stores import azure, gcs, s3

STORES = {
    "aiobotocore.client": s3.instrument_aio,
    "azure.storage.blob._blob_client": azure.instrument,
    "boto3.s3.inject": s3.instrument_inject,
    "boto3.s3.transfer": s3.instrument_transfer,
    "botocore.client": s3.instrument,
    "google.cloud.storage.blob": gcs.instrument_blob,
    "google.cloud.storage.bucket": gcs.instrument_bucket,
    "google.cloud.storage.client": gcs.instrument_client,
    "google.cloud.storage.fileio": gcs.instrument_files,
    "google.cloud.storage.transfer_manager": gcs.instrument_transfers,
}
"""What to do with each module once it is there; every function recognises its own work."""


def install() -> None:
    """Arm every client: each is instrumented when user code imports it. Calling it twice is calling it once."""
    for module, instrument in STORES.items():
        when_imported(module, instrument)
