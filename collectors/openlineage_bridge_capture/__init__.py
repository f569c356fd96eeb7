"""What the code inside a task, op or asset read and wrote; shared by both collectors.

* ``datasets``   a dataset as user code names it, and ``inputs()`` / ``outputs()`` to say it explicitly
* ``recording``  what a run did, as values
* ``recorder``   what each run has read and written so far, attributed through the host's own context
* ``sql``        from the text of a statement to the tables and columns it reads and writes
* ``drivers``    one file per database driver whose statements are captured without user code
* ``describe``   from a recording to OpenLineage datasets and facets
* ``emitter``    a bounded background thread between the user's code and the OpenLineage client
* ``client``     the OpenLineage client as the environment configures it; one bounded emission now
* ``spool``      an OpenLineage transport for any producer: a durable local file, sent in the background
* ``settings``   whether the user configured a backend
* ``imports``    call me back when that module is imported
* ``log``        what is said to the user, each thing once
"""

from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.recorder import inputs, outputs

__all__ = ["Dataset", "inputs", "outputs"]
