"""The HTTP server: what listens, who may speak to it, how much it takes in, and what it shows.

* ``app``      the routes, as one ASGI application
* ``protocol`` a connection; brings plain requests with events to ``ingest`` without the detour through the routes
* ``ingest``   the two endpoints that take events
* ``auth``     bearer tokens, and which addresses may be listened on without one
* ``limits``   how much is taken in at once
* ``deadlines`` how long a connection may take for it
* ``views``    the lineage as JSON and as a page
* ``queries``  what the views ask the store for
* ``operations`` what an operator changes
* ``health``   ``/livez`` and ``/readyz``
* ``metrics``  ``/metrics``
* ``logs``     structured logs on stderr
* ``run``      the socket, uvicorn, and a graceful stop
"""
