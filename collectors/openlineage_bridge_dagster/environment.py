"""What the environment says about how events are told: one set of variables for the sensor, the tailer and the back-fill."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module

from openlineage_bridge_dagster.naming import AssetNaming, DatasetOf, parse_namespaces
from openlineage_bridge_dagster.reading import Reader

NAMESPACES_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES"
DATASET_OF_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_DATASET_OF"
UI_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_UI"


def reader(
    *,
    namespaces: Mapping[str, str] | None = None,
    dataset_of: DatasetOf | None = None,
    dagster_url: str | None = None,
) -> Reader:
    """A reader with these settings; what is not given is the environment's.

    Args:
        namespaces: OpenLineage namespace by platform; default: the JSON object in ``OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES``.
        dataset_of: The user's own naming rule; default: the function that ``OPENLINEAGE_BRIDGE_DAGSTER_DATASET_OF`` names
            as ``module:function``.
        dagster_url: Address of Dagster's UI; default: ``OPENLINEAGE_BRIDGE_DAGSTER_UI``.

    Raises:
        ValueError: A variable cannot be read, or names nothing that can be called.
    """
    if namespaces is None:
        namespaces = parse_namespaces(os.environ.get(NAMESPACES_VARIABLE))
    if dataset_of is None:
        dataset_of = _named(os.environ.get(DATASET_OF_VARIABLE))
    return Reader(
        namespace=os.environ.get("OPENLINEAGE_NAMESPACE") or "dagster",
        naming=AssetNaming(namespaces=dict(namespaces), dataset_of=dataset_of),
        ui=dagster_url or os.environ.get(UI_VARIABLE),
    )


def _named(text: str | None) -> DatasetOf | None:
    if not text:
        return None
    module, _, name = text.partition(":")
    try:
        found: DatasetOf = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{DATASET_OF_VARIABLE}={text} names no function: {error}") from error
    if callable(found):
        return found
    raise ValueError(f"{DATASET_OF_VARIABLE}={text} is no function")
