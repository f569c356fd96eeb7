"""Prefect from outside: the collector's events from what the API tells, without an import of Prefect.

For runs that no collector saw, and beside it: both give the same events, so a backend that merges by run keeps one.

* ``connection``   where the API is and how to sign in, as Prefect's own settings say
* ``api``          the HTTP client: paced, patient, JSON in and out
* ``transitions``  an event or a list of states → transitions of runs; pure
* ``directory``    which run is this, who encloses it; looked up once, then known
* ``reading``      transition → snapshot → OpenLineage events
* ``asides``       what the API knows less well than the process, said so that the process has the last word
* ``assets``       the events of Prefect assets → what a task run read and wrote; ``artifacts``: what runs created
* ``vigil``        runs whose process died, and the tasks that they left behind
* ``cursor``       how far the watcher has come, in a file
* ``delivery``     one event to the backend
* ``watcher``      the loop over ``/events/filter``
* ``backfill``     history from runs and their states

What only the process knows is absent here: datasets of captured SQL and files, tracebacks, descriptions of flows and
tasks, where their code stands and what their options are, parameters of tasks, assets that a plain task depends on, and the parent of a flow that a task without a flow
called. What the API knows less well (the message of a failure, parameters as JSON, what a deployment was at that time) rides in an event one microsecond
earlier, so that the collector's word stands wherever there is one. The job name of a task with a custom run name comes
from its first event; where that is past its retention, from the name of its function.
"""
