"""For flows written with ``prefect-datahub``: its classes, recording the same inputs and outputs for this collector.

A change of the import is all: ``from prefect_datahub.datahub_emitter import DatahubEmitter`` becomes
``from openlineage_bridge_prefect.datahub import DatahubEmitter``, likewise ``Dataset`` and ``Urn`` of
``prefect_datahub.entities``. Saved blocks are loaded as they are. Nothing here talks to DataHub or imports its package: what
``add_task`` is told becomes inputs and outputs of the task run's OpenLineage events, failing runs included, and whoever
receives these names the datasets by the very same URNs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar

import attrs
from prefect.blocks.core import Block
from pydantic import ConfigDict, SecretStr

from openlineage_bridge_capture import Dataset as OpenLineageDataset
from openlineage_bridge_capture import log, recorder
from openlineage_bridge_capture.urns import DATASET_PREFIX, DEFAULT_ENV, NAMESPACE, dataset_urn


@attrs.frozen
class Dataset:
    """A dataset as DataHub names it.

    Args:
        platform: DataHub's platform id, e.g. ``snowflake``, or its URN.
        name: Name on the platform, e.g. ``db.schema.table``.
        env: Environment (fabric) of the URN.
        platform_instance: Platform instance, which stands before the name in the URN.
    """

    platform: str
    name: str
    env: str = DEFAULT_ENV
    platform_instance: str | None = None

    @property
    def urn(self) -> str:
        """As ``mce_builder.make_dataset_urn_with_platform_instance`` makes it."""
        return dataset_urn(self.platform, self.name, self.env, self.platform_instance)


@attrs.frozen
class Urn:
    """A dataset by its URN.

    Raises:
        ValueError: It is no dataset's.
    """

    urn: str = attrs.field()

    @urn.validator
    def _of_a_dataset(self, _attribute: object, value: str) -> None:
        if not value.startswith(DATASET_PREFIX):
            raise ValueError(f"a dataset's URN starts with {DATASET_PREFIX!r}, this one is {value!r}")


class DatahubEmitter(Block):
    """The block of ``prefect-datahub``, without a connection of its own.

    ``env`` and ``platform_instance`` are what flows read from it to name their datasets. The other fields are kept so that
    saved blocks load; where events go is said by ``OPENLINEAGE_URL``, and where DataHub is by the bridge's configuration.
    """

    _block_type_name: ClassVar[str | None] = "datahub emitter"
    model_config = ConfigDict(extra="ignore")

    datahub_rest_url: str = "http://localhost:8080"
    env: str = DEFAULT_ENV
    platform_instance: str | None = None
    token: SecretStr | None = None
    emit_mode: str = "ASYNC"

    def add_task(
        self, inputs: Iterable[Dataset | Urn] | None = None, outputs: Iterable[Dataset | Urn] | None = None
    ) -> None:
        """Say what the current task read and wrote; recorded at once, whether or not ``emit_flow`` is ever reached.

        Args:
            inputs: Datasets that the task read.
            outputs: Datasets that the task wrote.
        """
        if not recorder.active():
            log.once(
                logging.WARNING,
                "add_task() has nowhere to report to: set OPENLINEAGE_URL to your bridge (and PREFECT_PLUGINS_ENABLED=1)",
            )
        recorder.inputs(*_named(inputs))
        recorder.outputs(*_named(outputs))

    def emit_flow(self) -> None:
        """Nothing is left to do: every transition of flows and tasks is reported when it happens."""


def _named(datasets: Iterable[Any] | None) -> list[Any]:
    """Datasets in OpenLineage's words; what has no URN is handed on, for the recorder to say what it is."""
    return [
        OpenLineageDataset(NAMESPACE, each.urn) if isinstance(each, Dataset | Urn) else each
        for each in datasets or ()
    ]
