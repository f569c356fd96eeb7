"""DataHub's URN of a dataset, for code that names datasets as DataHub's own packages do."""

from __future__ import annotations

NAMESPACE = "datahub"
"""OpenLineage namespace of datasets that are named by their DataHub URN."""

DEFAULT_ENV = "PROD"
"""acryl-datahub's ``mce_builder.DEFAULT_ENV``."""

DATASET_PREFIX = "urn:li:dataset:("

PLATFORM_PREFIX = "urn:li:dataPlatform:"

_RESERVED = str.maketrans({",": "%2C", "(": "%28", ")": "%29", "␟": "%E2%90%9F"})
"""What acryl-datahub's ``UrnEncoder`` encodes in a dataset's name."""


def dataset_urn(platform: str, name: str, env: str = DEFAULT_ENV, instance: str | None = None) -> str:
    """As acryl-datahub's ``mce_builder.make_dataset_urn_with_platform_instance`` makes it.

    Args:
        platform: DataHub's platform id, e.g. ``snowflake``, or its URN.
        name: Name on the platform, e.g. ``db.schema.table``.
        env: Environment (fabric).
        instance: Platform instance, which stands before the name.
    """
    whole = f"{instance}.{name}" if instance else name
    platform_urn = f"{PLATFORM_PREFIX}{platform.removeprefix(PLATFORM_PREFIX)}"
    return f"{DATASET_PREFIX}{platform_urn},{whole.translate(_RESERVED)},{env})"
