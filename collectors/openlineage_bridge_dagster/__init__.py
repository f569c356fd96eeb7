"""Dagster → OpenLineage: one sensor, ``sensors=[openlineage_sensor()]``, and the lineage of every run.

* ``sensor``           the sensor, and what a tick does; ``component`` the same for ``dg``
* ``location``         a code location of its own for it, where user code stays untouched
* ``commands``         ``openlineage-bridge dagster``: ``tailer`` the same in a process of its own, ``backfill`` over history
* ``doctor``           ``openlineage-bridge doctor dagster``; ``selfcheck`` tries what it finds in a fresh process
* ``tail``             the core: discover runs, read their logs, fold, deliver; ``discovery`` ``cursor`` ``delivery``
* ``opening``          what the commands open first; ``process`` signals, log and errors of one that runs long
* ``reading``          one instance read page by page; ``shards`` the files of SQLite opened without delay
* ``fold``             the pure fold of one run's log to OpenLineage events; ``steps`` ``facets`` ``partitions`` ``runless``
* ``sources``          what counts as lineage; ``queries`` what a statement in the metadata says
* ``datahub``          the names of DataHub's plugin, for code written with it; ``datahub_lineage`` what extractors get
* ``checks``           asset checks as facets; ``dependencies`` what steps waited for; ``code_references`` where code is
* ``own_facets``       the custom facets, with their JSON schemas in ``schemas/``
* ``repository``       what code declares; ``graph`` the events of it, before anything has run; ``announcing`` once a change
* ``naming``           from asset keys to dataset names; ``assets`` what definitions add, ``workspace`` loads them
* ``environment``      what variables say about all of these
* ``identity``         names and ids of jobs and runs; ``snapshot`` what the stored job adds; ``producer`` who says so
* ``activation``       capture inside ops and assets, switched on when this package is imported; ``instrumentation`` how

Importing it in a code location arms capture in every process that loads the location, the runs' own included. Dagster
itself is imported only when something of it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openlineage_bridge_dagster.activation import activate

if TYPE_CHECKING:
    from openlineage_bridge_dagster.component import OpenLineageComponent
    from openlineage_bridge_dagster.sensor import openlineage_sensor

__all__ = ["OpenLineageComponent", "activate", "openlineage_sensor"]

_HOMES = {"OpenLineageComponent": "component", "openlineage_sensor": "sensor"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


activate()
