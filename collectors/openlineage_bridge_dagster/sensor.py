"""The sensor: a plain Dagster sensor that keeps an OpenLineage backend up to date with every run of the instance."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SkipReason, sensor

from openlineage_bridge_capture import client
from openlineage_bridge_capture.settings import configured
from openlineage_bridge_dagster import environment
from openlineage_bridge_dagster.assets import definitions_of
from openlineage_bridge_dagster.cursor import Cursor
from openlineage_bridge_dagster.delivery import Send
from openlineage_bridge_dagster.discovery import Wanted
from openlineage_bridge_dagster.identity import location_name
from openlineage_bridge_dagster.naming import DatasetOf
from openlineage_bridge_dagster.repository import Repository, repository_of
from openlineage_bridge_dagster.sources import Sources
from openlineage_bridge_dagster.tail import Progress, Tail, everything

log = logging.getLogger(__name__)

BUDGET = 10.0
"""Seconds that a tick works; Dagster gives up on it after 60 and starts another beside it."""


def openlineage_sensor(
    name: str = "openlineage_sensor",
    *,
    namespaces: Mapping[str, str] | None = None,
    dataset_of: DatasetOf | None = None,
    dagster_url: str | None = None,
    job_names: str | None = None,
    platform_instance: str | None = None,
    sources: Sources | None = None,
    wanted: Wanted = everything,
    static_lineage: bool | None = None,
    backfill: str | None = None,
    only_this_location: bool = False,
    minimum_interval_seconds: int = 5,
    default_status: DefaultSensorStatus = DefaultSensorStatus.RUNNING,
    description: str | None = None,
    send: Send = client.send,
) -> SensorDefinition:
    """A sensor that tells an OpenLineage backend about every run, step and asset of this Dagster instance.

    The backend is configured as for every OpenLineage client (``OPENLINEAGE_URL`` and its kin), in the environment of
    the code server; without it the sensor skips. One sensor serves a whole instance.

    The cursor moves when the receiver has acknowledged: Dagster's event log is the queue, and outlives the disk of a
    container. Who chooses the spool transport by name (``OPENLINEAGE__TRANSPORT__TYPE``) says that this machine's disk
    stays: then it moves when the event is in the spool's file.

    Args:
        name: Name of the sensor.
        namespaces: OpenLineage namespace by platform for assets named ``[env, platform, database, schema, table]``;
            default: the JSON object in ``OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES``.
        dataset_of: Your own rule from asset key and metadata to a dataset; returns None to leave it to the others;
            default: the function that ``OPENLINEAGE_BRIDGE_DAGSTER_DATASET_OF`` names as ``module:function``.
        dagster_url: Address of Dagster's UI, for links; default: ``OPENLINEAGE_BRIDGE_DAGSTER_UI``.
        job_names: ``location`` for ``{location}.{job}``, ``datahub-plugin`` for the names of DataHub's Dagster plugin;
            default: ``OPENLINEAGE_BRIDGE_DAGSTER_JOB_NAMES``, else ``location``.
        platform_instance: Platform instance in the names of DataHub's plugin.
        sources: What counts as lineage of a step.
        wanted: Which runs to observe.
        static_lineage: Whether to tell the graph of jobs and assets as this code location declares it, before anything
            has run and whenever it changes; default: ``OPENLINEAGE_BRIDGE_DAGSTER_STATIC_LINEAGE``, else yes where
            every run is observed.
        backfill: ``"all"``, or the ISO time from which on runs count; default: runs created after the first tick,
            or within the minute before it.
        only_this_location: Observe the runs of this code location only, for one sensor in each location.
        minimum_interval_seconds: Seconds between ticks; Dagster's loop takes 5 at least.
        default_status: Whether it runs without being switched on.
        description: What Dagster's UI says of the sensor.
        send: Delivers an event, returns when it was acknowledged, raises when not.

    Raises:
        ValueError: ``backfill``, ``job_names`` or a variable of the environment cannot be read.
    """
    start = parse_backfill(backfill)
    settings = environment.reader(
        namespaces=namespaces,
        dataset_of=dataset_of,
        dagster_url=dagster_url,
        job_names=job_names,
        platform_instance=platform_instance,
        sources=sources,
    )
    tail = Tail(send, settings, wanted=wanted)
    declares = environment.static_lineage(
        given=static_lineage if wanted is everything else bool(static_lineage)
    )
    ticking = threading.Lock()

    @sensor(
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=description or "Tells an OpenLineage backend about every run, step and asset.",
    )
    def evaluate(context: SensorEvaluationContext) -> SkipReason:
        # A tick that Dagster gave up on goes on in this process: a second one beside it would only repeat it.
        if not ticking.acquire(blocking=False):
            return SkipReason("The previous tick is still at work.")
        try:
            here = _of_location(context) if only_this_location else everything
            tail.wanted = lambda record: here(record) and wanted(record)
            return tick(context, tail, start=start, declares=declares)
        finally:
            ticking.release()

    return evaluate


def tick(
    context: SensorEvaluationContext,
    tail: Tail,
    *,
    start: float | None = None,
    declares: bool = False,
) -> SkipReason:
    """One evaluation: advance the tail and keep how far it came.

    Raises:
        DeliveryError: Nothing at all could be delivered; Dagster shows a failed tick and keeps the cursor.
        ValueError: The cursor is another version's.
    """
    if tail.send is client.send and not configured():
        return SkipReason(
            "OpenLineage is not configured in this code server: set OPENLINEAGE_URL, for instance."
        )
    tail.reader.definitions = definitions_of(context.repository_def)
    if declares and context.repository_def is not tail.announcer.code:
        tail.announcer.declare(_declared(context), context.repository_def)
    cursor = Cursor.from_json(context.cursor) if context.cursor else tail.begin(context.instance, start)
    progress = tail.advance(context.instance, cursor, budget=BUDGET)
    for problem in progress.problems:
        # context.log writes a file for every tick that touches it: problems only.
        context.log.error(problem)
    if progress.error is not None and progress.delivered == 0:
        raise progress.error
    context.update_cursor(cursor.to_json())
    return SkipReason(_said(progress))


def _declared(context: SensorEvaluationContext) -> tuple[Repository, ...]:
    """What the code location of the sensor declares; nothing where this Dagster's code cannot be read so."""
    if context.repository_def is None:
        return ()
    origin = context.code_location_origin
    target = getattr(origin, "loadable_target_origin", None)
    module = getattr(target, "module_name", None) or getattr(target, "package_name", None)
    try:
        return (repository_of(context.repository_def, getattr(origin, "location_name", None), module),)
    except Exception:
        log.warning("The graph that this code location declares cannot be read", exc_info=True)
        return ()


def parse_backfill(text: str | None) -> float | None:
    """Where to start: None for now, 0 for all of history, else seconds since the epoch.

    Raises:
        ValueError: The text is neither ``all`` nor an ISO time.
    """
    if text is None:
        return None
    if text == "all":
        return 0.0
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _said(progress: Progress) -> str:
    parts = [f"{progress.delivered} events delivered, {progress.open_runs} runs open"]
    if progress.error is not None:
        parts.append(f"stopped by {progress.error}; the rest follows at the next tick")
    return "; ".join([*parts, *progress.problems]) + "."


def _of_location(context: SensorEvaluationContext) -> Wanted:
    """Whether a run was launched from the code location that the sensor is in."""
    location = getattr(context.code_location_origin, "location_name", None)
    return lambda record: location_name(record.dagster_run) == location
