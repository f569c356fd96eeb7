"""The bridge: receives OpenLineage events, keeps them, knows what they say, and delivers it.

* ``events``       bytes → RunEvent, JobEvent or DatasetEvent
* ``facts``        event → facts, and how facts merge
* ``lineage``      which edges the facts of a run or a job state
* ``translation``  the contract with a translator and with a sink
* ``store``        the one SQLite file
* ``pipeline``     inbox → facts → aspects → outbox
* ``derivation``   what has to be derived again because of changed facts
* ``delivery``     outbox → sinks, each at its own pace (``pacing``); ``redelivery`` sends again
* ``forwarding``   the events themselves to another OpenLineage endpoint
* ``outgoing``     HTTP to destinations: TLS, headers, when to ask again
* ``comparing``    what a live catalog has of what it should hold
* ``service``      all of it running, behind the receivers
* ``replay``       event files into a store; ``selection`` says which events, ``changes`` what would be otherwise
* ``specification`` where an event is not what OpenLineage's schemas say
* ``receivers``    the ways into the inbox
* ``server``       the HTTP service
* ``web``          the lineage page
* ``cli``          one file per command
* ``config``       what users set
* ``errors``       what went wrong, by what to do next
"""
