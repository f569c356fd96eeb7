"""What the code inside a task, op or asset read and wrote; shared by both collectors.

* ``datasets``   a dataset as user code names it, and ``inputs()`` / ``outputs()`` to say it explicitly
* ``recording``  what a run did, as values
* ``recorder``   what each run has read and written so far, attributed through the host's own context
* ``carrying``   ``carried()``: a run's work in bare threads, executors and process pools; ``threads`` does it without code
* ``uris``       a URI as people write it → namespace and name; ``addresses`` takes it apart, ``databases`` is its table
* ``sql``        from the text of a statement to the tables and columns it reads and writes
* ``drivers``    one file per database driver whose statements are captured without user code
* ``files``      files that pandas, Polars, Arrow and fsspec read and write
* ``stores``     objects that the stores' own clients move: boto3, google-cloud-storage, azure-storage-blob
* ``libraries``  all of these are armed here
* ``describe``   from a recording to OpenLineage datasets and facets; ``edges`` which of them fed which
* ``emitter``    a bounded background thread between the user's code and the OpenLineage client
* ``client``     the OpenLineage client as the environment configures it; one bounded emission now
* ``spool``      an OpenLineage transport for any producer: a durable local file, sent in the background
* ``autoload``   collectors in a process that does not import them: a ``.pth`` file, or ``openlineage-bridge run``
* ``checks``     what ``doctor`` looks at for every collector; ``findings`` how it says it
* ``settings``   whether the user configured a backend
* ``versions``   which versions are at work, and the producer that names ours
* ``imports``    call me back when that module is imported
* ``log``        what is said to the user, each thing once
"""

from openlineage_bridge_capture.carrying import carried
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.recorder import inputs, outputs

__all__ = ["Dataset", "carried", "inputs", "outputs"]
