"""What the environment says about how events are told: one set of variables for the sensor, the tailer and the back-fill."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module

from openlineage_bridge_dagster.naming import AssetNaming, DatasetOf, parse_namespaces
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.sources import Sources

NAMESPACES_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES"
DATASET_OF_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_DATASET_OF"
UI_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_UI"
JOB_NAMES_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_JOB_NAMES"
STATIC_LINEAGE_VARIABLE = "OPENLINEAGE_BRIDGE_DAGSTER_STATIC_LINEAGE"

BY_LOCATION, AS_DATAHUB_PLUGIN = "location", "datahub-plugin"
"""Jobs are called ``{location}.{job}``, or as DataHub's Dagster plugin calls them, without the code location."""


def reader(
    *,
    namespaces: Mapping[str, str] | None = None,
    dataset_of: DatasetOf | None = None,
    dagster_url: str | None = None,
    job_names: str | None = None,
    platform_instance: str | None = None,
    sources: Sources | None = None,
) -> Reader:
    """A reader with these settings; what is not given is the environment's.

    Args:
        namespaces: OpenLineage namespace by platform; default: the JSON object in ``OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES``.
        dataset_of: The user's own naming rule; default: the function that ``OPENLINEAGE_BRIDGE_DAGSTER_DATASET_OF`` names
            as ``module:function``.
        dagster_url: Address of Dagster's UI; default: ``OPENLINEAGE_BRIDGE_DAGSTER_UI``.
        job_names: ``location`` or ``datahub-plugin``; default: ``OPENLINEAGE_BRIDGE_DAGSTER_JOB_NAMES``, else ``location``.
        platform_instance: Platform instance in the names of DataHub's plugin.
        sources: What counts as lineage.

    Raises:
        ValueError: A variable cannot be read, or names nothing that can be called; ``job_names`` is neither.
    """
    if namespaces is None:
        namespaces = parse_namespaces(os.environ.get(NAMESPACES_VARIABLE))
    if dataset_of is None:
        dataset_of = _named(os.environ.get(DATASET_OF_VARIABLE))
    return Reader(
        namespace=os.environ.get("OPENLINEAGE_NAMESPACE") or "dagster",
        naming=AssetNaming(namespaces=dict(namespaces), dataset_of=dataset_of),
        ui=dagster_url or os.environ.get(UI_VARIABLE),
        sources=sources or Sources(),
        plugin_names=_plugin_names(job_names or os.environ.get(JOB_NAMES_VARIABLE) or BY_LOCATION),
        platform_instance=platform_instance,
    )


def static_lineage(*, given: bool | None = None) -> bool:
    """Whether the graph is told as the code declares it: as given, else by the variable, else yes.

    Raises:
        ValueError: ``OPENLINEAGE_BRIDGE_DAGSTER_STATIC_LINEAGE`` is neither ``on`` nor ``off``.
    """
    if given is not None:
        return given
    text = os.environ.get(STATIC_LINEAGE_VARIABLE, "").strip().lower()
    if text not in ("", "on", "off", "true", "false"):
        raise ValueError(f"{STATIC_LINEAGE_VARIABLE} is on or off, not {text!r}")
    return text not in ("off", "false")


def _plugin_names(job_names: str) -> bool:
    if job_names not in (BY_LOCATION, AS_DATAHUB_PLUGIN):
        raise ValueError(f"Job names are {BY_LOCATION!r} or {AS_DATAHUB_PLUGIN!r}, not {job_names!r}")
    return job_names == AS_DATAHUB_PLUGIN


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
