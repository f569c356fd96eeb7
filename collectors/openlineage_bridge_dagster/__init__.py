"""Dagster → OpenLineage: one sensor, ``sensors=[openlineage_sensor()]``, and the lineage of every run.

* ``sensor``           the sensor, and what a tick does
* ``location``         a code location of its own for it, where user code stays untouched
* ``tail``             the core: discover runs, read their logs, fold, deliver; ``discovery`` ``cursor`` ``delivery``
* ``fold``             the pure fold of one run's log to OpenLineage events; ``steps`` ``facets`` ``partitions`` ``runless``
* ``naming``           from asset keys to dataset names; ``assets`` what definitions add
* ``identity``         names and ids of jobs and runs; ``snapshot`` what the stored job adds; ``producer`` who says so
* ``instrumentation``  capture inside ops and assets, armed when this package is imported

Importing it in a code location arms capture in every process that loads the location, the runs' own included.
"""

from openlineage_bridge_dagster.instrumentation import arm
from openlineage_bridge_dagster.sensor import openlineage_sensor

__all__ = ["openlineage_sensor"]

arm()
