"""The bridge: receives OpenLineage events, keeps them, knows what they say, and delivers it.

* ``events``       bytes → RunEvent, JobEvent or DatasetEvent
* ``facts``        event → facts, and how facts merge
* ``lineage``      which edges the facts of a run or a job state
* ``translation``  the contract with a translator and with a sink
* ``store``        the one SQLite file
* ``pipeline``     inbox → facts → aspects → outbox
* ``derivation``   what has to be derived again because of changed facts
* ``delivery``     outbox → sink
* ``service``      all of it running, behind the receivers
* ``replay``       event files into a store
* ``receivers``    the ways into the inbox
* ``server``       the HTTP service
* ``web``          the lineage page
* ``cli``          one file per command
* ``config``       what users set
* ``errors``       what went wrong, by what to do next
"""
