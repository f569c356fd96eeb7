"""Prefect → OpenLineage: every flow and task run of this process, without a change to the user's code.

Importing this package switches the collector on, when an OpenLineage backend is configured; so does Prefect's plugin
loader (``PREFECT_PLUGINS_ENABLED=1``). Doing both is doing it once.

* ``plugin``       what the ``prefect.plugins`` entry point loads
* ``activation``   switch on: what happens when which Prefect module is imported
* ``wrapping``     the methods of Prefect that are wrapped, and the self-check that they still are what they were
* ``observer``     from a state transition to a snapshot, on the user's thread; never raises
* ``transitions``  Prefect state type → OpenLineage event types
* ``contexts``     Prefect's contexts around the executing code; ``generators`` keeps a body and its consumer apart
* ``runs``         which run is this, who encloses it, how far has its run cycle got
* ``attempts``     which attempt of a flow run: one that had ended and runs again is another run
* ``snapshots``    cheap copies of what an engine knows at a transition
* ``assets``       Prefect assets → datasets; ``artifacts`` those that a run created
* ``events``       snapshot → OpenLineage events, on the emitter's thread
* ``facets``       the run and job facets of an event; ``own_facets`` those that the specification has not, with ``schemas``
* ``execution``    how and by whom a run is executed; ``deployments`` and their ``schedules``, what it is a run of
* ``sources``      where the code of a flow or task stands
* ``parents``      what a process that a task starts has to know of it: ``parent_environment()``
* ``parameters``   parameters as the facet may show them
* ``lookups``      what only the Prefect API knows: parents in other processes, runs that no local engine drives
* ``datahub``      for flows written with ``prefect-datahub``: its classes, recording for this collector
* ``watch``        the same events from outside: a Prefect server watched, and its history brought
* ``commands``     ``openlineage-bridge prefect``
* ``doctor``       ``openlineage-bridge doctor prefect``; ``selfcheck`` tries what it finds in a fresh process
* ``identity``     producer, namespace, and the parent that the environment names
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openlineage_bridge_prefect.activation import activate

if TYPE_CHECKING:
    from openlineage_bridge_prefect.parents import parent_environment

__all__ = ["activate", "parent_environment"]


def __getattr__(name: str) -> Any:
    # Later: a process that only imports this package and reports to nobody pays for nothing.
    if name == "parent_environment":
        from openlineage_bridge_prefect.parents import parent_environment

        return parent_environment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


activate()
