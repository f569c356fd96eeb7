"""The translator's section of the configuration: what to name, and what to say about datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import KEYS as CONNECTION
from openlineage_bridge_datahub.jobs import CONVENTIONS
from openlineage_bridge_datahub.rules import NamespaceRule, fabric, fitted, namespace_rules, texts

SINK_KEYS = frozenset(
    {
        *("sink", "server", "token", "batch_size", "pipeline_name", "gzip", *CONNECTION),
        *("path", "most_bytes"),
        *("bootstrap", "schema_registry_url", "schema_registry_auth", "producer_config", "topic"),
    }
)
"""Keys of the same section that belong to the sinks."""

POLICIES = ("missing", "always", "never")
"""``missing``: only where DataHub has nothing, or what it has came from here; a sink that cannot ask sends always."""

CURATED = ("add", *POLICIES)
"""``add``: beside what people and others put there (PATCH), where the sink can; a sink that cannot sends always."""

DROPPED = ("keep", "remove")


def _one_of(*words: str, section: str = "datasets.") -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in words:
            raise ConfigError(f"{section}{attribute.name}: use one of {', '.join(words)}, not {value!r}")

    return check


def _curated(value: Any) -> Any:
    """``true`` and ``false`` say the same as ``add`` and ``never``."""
    return {True: "add", False: "never"}[value] if isinstance(value, bool) else value


def _yes_or_no(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{attribute.name}: use true or false, not {value!r}")


def _count(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{attribute.name}: use a whole number, 0 for no limit, not {value!r}")


@attrs.frozen(kw_only=True)
class DatasetOptions:
    """What is said about datasets beyond their lineage. A connector's own metadata are better: the default fills gaps.

    Args:
        schema: ``schemaMetadata``: ``missing``, ``always`` or ``never``.
        properties: ``datasetProperties`` and ``subTypes``; the same words.
        containers: Containers of the ``hierarchy`` and ``catalog`` facets, and browse paths; the same words.
        tags_and_owners: Stated tags, glossary terms and owners: ``add``, or one of the same words. Those of jobs are
            added, too, or with ``always`` replace what is there.
        job_edges: ``always``, or ``add``: what a job reads and writes is added to edges that others gave the same job, and never
            taken back.
        lineage: ``upstreamLineage``, for lineage that no job stated: ``add``, or one of the same words.
        operations: Whether what runs wrote is told as ``operation``: a dataset's "last updated".
        profiles: Whether ``dataQualityMetrics`` become ``datasetProfile``.
        assertions: Whether data quality checks become assertions with results.
        siblings: Whether a table and the path of its data are siblings.
        dropped: ``keep`` or ``remove``: whether a dataset that a run dropped or renamed is marked as removed.
        term_keys: Keys of ``tags`` whose values are glossary terms.
    """

    schema: str = attrs.field(default="missing", validator=_one_of(*POLICIES))
    properties: str = attrs.field(default="missing", validator=_one_of(*POLICIES))
    containers: str = attrs.field(default="missing", validator=_one_of(*POLICIES))
    tags_and_owners: str = attrs.field(default="add", converter=_curated, validator=_one_of(*CURATED))
    job_edges: str = attrs.field(default="always", validator=_one_of("always", "add"))
    lineage: str = attrs.field(default="add", validator=_one_of(*CURATED))
    operations: bool = attrs.field(default=True, validator=_yes_or_no)
    profiles: bool = attrs.field(default=True, validator=_yes_or_no)
    assertions: bool = attrs.field(default=True, validator=_yes_or_no)
    siblings: bool = attrs.field(default=False, validator=_yes_or_no)
    dropped: str = attrs.field(default="keep", validator=_one_of(*DROPPED))
    term_keys: tuple[str, ...] = attrs.field(
        default=("glossaryTerm", "glossary_term", "term"), converter=texts
    )


def _datasets(value: Any) -> DatasetOptions:
    return value if isinstance(value, DatasetOptions) else fitted(DatasetOptions, value, "datasets: ")


@attrs.frozen(kw_only=True)
class Options:
    """The translator's configuration.

    Args:
        env: Environment of all URNs where no rule says another.
        namespaces: Rules for namespaces of datasets and of jobs; the first that matches holds.
        datasets: What is said about datasets.
        job_urns: ``plugins``: flows and jobs are called as DataHub's plugins for their orchestrators call them;
            ``endpoint``: as DataHub's own OpenLineage endpoint does, for estates that it filled.
        indirect_columns: Whether columns that only decide (filter, join, group by) count as column lineage.
        queries: Whether the SQL of a job becomes a Query of the datasets that it touches.
        most_pairs: Most pairs of input and output that a job states by naming only its inputs and outputs; above it
            nobody said which input fed which output, and only what column lineage names is an edge. 0: no limit.
    """

    env: str = attrs.field(default="PROD", converter=fabric)
    namespaces: tuple[NamespaceRule, ...] = attrs.field(default=(), converter=namespace_rules)
    datasets: DatasetOptions = attrs.field(factory=DatasetOptions, converter=_datasets)
    job_urns: str = attrs.field(default="plugins", validator=_one_of(*CONVENTIONS, section=""))
    indirect_columns: bool = attrs.field(default=True, validator=_yes_or_no)
    queries: bool = attrs.field(default=True, validator=_yes_or_no)
    most_pairs: int = attrs.field(default=10_000, validator=_count)


def options(section: Mapping[str, Any]) -> Options:
    """The translator's options from the section that it shares with the sinks.

    Raises:
        ConfigError: A key is unknown or a value impossible.
    """
    own = {key: value for key, value in section.items() if key not in SINK_KEYS and value is not None}
    return fitted(Options, own, "datahub: ")
