"""The translator's section of the configuration: what to name, and what to say about datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from openlineage_bridge.errors import ConfigError
from openlineage_bridge_datahub.rules import NamespaceRule, fabric, fitted, namespace_rules

SINK_KEYS = frozenset({"sink", "server", "token", "timeout", "batch_size", "path", "pipeline_name"})
"""Keys of the same section that belong to the sinks."""


def _schema_policy(_: Any, __: Any, value: str) -> None:
    if value == "missing":
        raise ConfigError(
            "datasets.schema: 'missing' has to ask a DataHub server, which this version does not; use 'always' or 'never'"
        )
    if value not in ("always", "never"):
        raise ConfigError(f"datasets.schema: use 'always' or 'never', not {value!r}")


def _yes_or_no(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{attribute.name}: use true or false, not {value!r}")


@attrs.frozen(kw_only=True)
class DatasetOptions:
    """What is said about datasets beyond their lineage.

    Args:
        schema: ``always`` or ``never``: whether schemaMetadata and datasetProperties are sent. A connector's own are
            better: say ``never`` where every platform has one.
        tags_and_owners: Whether stated tags and owners are sent. They replace those of the dataset.
    """

    schema: str = attrs.field(default="always", validator=_schema_policy)
    tags_and_owners: bool = attrs.field(default=True, validator=_yes_or_no)


def _datasets(value: Any) -> DatasetOptions:
    return value if isinstance(value, DatasetOptions) else fitted(DatasetOptions, value, "datasets: ")


@attrs.frozen(kw_only=True)
class Options:
    """The translator's configuration.

    Args:
        env: Environment of all URNs where no rule says another.
        namespaces: Rules for namespaces of datasets and of jobs; the first that matches holds.
        datasets: What is said about datasets.
        indirect_columns: Whether columns that only decide (filter, join, group by) count as column lineage.
    """

    env: str = attrs.field(default="PROD", converter=fabric)
    namespaces: tuple[NamespaceRule, ...] = attrs.field(default=(), converter=namespace_rules)
    datasets: DatasetOptions = attrs.field(factory=DatasetOptions, converter=_datasets)
    indirect_columns: bool = attrs.field(default=True, validator=_yes_or_no)


def options(section: Mapping[str, Any]) -> Options:
    """The translator's options from the section that it shares with the sinks.

    Raises:
        ConfigError: A key is unknown or a value impossible.
    """
    own = {key: value for key, value in section.items() if key not in SINK_KEYS and value is not None}
    return fitted(Options, own, "datahub: ")
