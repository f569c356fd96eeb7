"""The sensor as a component of ``dg``: ``type: openlineage_bridge_dagster.OpenLineageComponent`` in a ``defs.yaml``."""

from __future__ import annotations

from dagster import Component, ComponentLoadContext, DefaultSensorStatus, Definitions, Model, Resolvable
from pydantic import Field

from openlineage_bridge_dagster.sensor import openlineage_sensor


class OpenLineageComponent(Component, Model, Resolvable):
    """Tells an OpenLineage backend about every run, step and asset of this Dagster instance.

    The backend is configured in the environment of the code server: ``OPENLINEAGE_URL`` and its kin. One per instance is
    enough.
    """

    name: str = Field(default="openlineage_sensor", description="Name of the sensor.")
    namespaces: dict[str, str] | None = Field(
        default=None,
        description="OpenLineage namespace by platform, for assets named [env, platform, database, schema, table].",
    )
    dagster_url: str | None = Field(default=None, description="Address of Dagster's UI, for links.")
    job_names: str | None = Field(
        default=None,
        description="'location' for jobs called location.job, 'datahub-plugin' for the names of DataHub's plugin.",
    )
    backfill: str | None = Field(
        default=None,
        description="'all', or the ISO time from which on runs count. Default: runs from now on.",
    )
    only_this_location: bool = Field(
        default=False, description="Observe the runs of this code location only, for one in each location."
    )
    static_lineage: bool | None = Field(
        default=None,
        description="Whether to tell the graph of jobs and assets before anything has run. Default: "
        "OPENLINEAGE_BRIDGE_DAGSTER_STATIC_LINEAGE, else yes.",
    )
    minimum_interval_seconds: int = Field(
        default=5, description="Seconds between ticks; Dagster's loop takes 5."
    )
    running: bool = Field(default=True, description="Whether it runs without being switched on in the UI.")

    def build_defs(self, context: ComponentLoadContext) -> Definitions:  # noqa: ARG002  # dg hands it over
        """The sensor."""
        sensor = openlineage_sensor(
            self.name,
            namespaces=self.namespaces,
            dagster_url=self.dagster_url,
            job_names=self.job_names,
            backfill=self.backfill,
            only_this_location=self.only_this_location,
            static_lineage=self.static_lineage,
            minimum_interval_seconds=self.minimum_interval_seconds,
            default_status=DefaultSensorStatus.RUNNING if self.running else DefaultSensorStatus.STOPPED,
        )
        return Definitions(sensors=[sensor])
