"""Which parts of a run's log count as lineage: what the settings of DataHub's Dagster plugin let its users choose."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from dagster import PathMetadataValue

from openlineage_bridge_capture import Dataset

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogEntry

log = logging.getLogger(__name__)

INPUTS_KEY, OUTPUTS_KEY = "datahub.inputs", "datahub.outputs"
"""Metadata of an ``In``, an ``Out`` or an asset: URNs of what the op reads and writes (acryl-datahub-dagster-plugin)."""

DATASET_URN_KEY = "datahub_urn"
"""Metadata of an asset or a materialization: the URN of its table (the plugin's ``DataHubSnowflakePandasIOManager``)."""


@attrs.frozen
class Stated:
    """Datasets that user code names as what a step reads and writes.

    Args:
        inputs: What it reads.
        outputs: What it writes.
    """

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is stated."""
        return bool(self.inputs or self.outputs)


Extract = Callable[["DagsterInstance", "EventLogEntry"], Mapping[str, Stated]]
"""A user's own reading of a run that has just ended: from its instance and its last record to what steps read and wrote,
by step key or op name."""


@attrs.frozen
class Sources:
    """What counts as lineage of a step; the defaults are the collector's own.

    Args:
        assets: Assets that it materialized or observed.
        asset_datasets: Assets that name a table also stand as datasets of their own, ``dagster`` · ``a/b/c``, beside it.
        paths: ``path`` metadata of outputs it handled and inputs it loaded. The file-system IO manager writes a new path
            for every run, which then is a new dataset for every run.
        queries: ``Query`` metadata of a materialization, where the statement changes data.
        extract: The user's own reading of the run.
    """

    assets: bool = True
    asset_datasets: bool = False
    paths: bool = False
    queries: bool = True
    extract: Extract | None = None


def dataset_of_urn(urn: object) -> Dataset | None:
    """The dataset that a URN names, taken as it is; None, said in the log, where it names none.

    Args:
        urn: Text, or an object of acryl-datahub's, which writes itself as such.
    """
    try:
        return Dataset.from_uri(str(urn))
    except ValueError as error:
        log.warning("%r names no dataset: %s", str(urn), error)
        return None


def datasets_of_urns(value: Any) -> tuple[Dataset, ...]:
    """The datasets of a metadata value that lists URNs, or is one."""
    urns: Iterable[Any] = (
        [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    )
    return tuple(found for urn in urns if (found := dataset_of_urn(urn)) is not None)


def stated_in(metadata: Mapping[str, Any]) -> Stated:
    """What the metadata of an asset, an ``In`` or an ``Out`` states, its values plain."""
    return Stated(
        datasets_of_urns(metadata.get(INPUTS_KEY)),
        datasets_of_urns(metadata.get(OUTPUTS_KEY)),
    )


def path_dataset(metadata: Mapping[str, Any] | None) -> Dataset | None:
    """The dataset that ``path`` among the metadata of an input or output means; None where it means none.

    DataHub's plugin takes path metadata alone, and so does this: text may be anything.
    """
    path = (metadata or {}).get("path")
    if not isinstance(path, PathMetadataValue):
        return None
    try:
        return Dataset.from_uri(str(path.value))
    except ValueError as error:
        log.info("The path %r names no dataset: %s", path.value, error)
        return None
