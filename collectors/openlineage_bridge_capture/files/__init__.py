"""Files that libraries read and write, captured without user code.

* ``paths``      a path or URL → namespace and name
* ``locations``  what a library was given (path, open file, file system) → the datasets it names
* ``facets``     what is known of a file → facets of its dataset
* ``calls``      how a library's function is wrapped, and who is calling it
* ``notes``      a call that read or wrote → what the recorder gets
* ``fsspec``, ``pandas``, ``polars``, ``pyarrow``  which functions of each library read and write what
"""

from __future__ import annotations

from openlineage_bridge_capture.files import fsspec, pandas, polars, pyarrow
from openlineage_bridge_capture.imports import when_imported

LIBRARIES = {
    "fsspec.asyn": fsspec.instrument_asyn,
    "fsspec.implementations.local": fsspec.instrument_local,
    "fsspec.spec": fsspec.instrument,
    "pandas": pandas.instrument,
    "polars": polars.instrument,
    "pyarrow.csv": pyarrow.instrument,
    "pyarrow.dataset": pyarrow.instrument,
    "pyarrow.feather": pyarrow.instrument,
    "pyarrow.json": pyarrow.instrument,
    "pyarrow.orc": pyarrow.instrument,
    "pyarrow.parquet": pyarrow.instrument,
}
"""What to do with each module once it is there; every function recognises its own work."""


def install() -> None:
    """Arm every library: each is instrumented when user code imports it. Calling it twice is calling it once."""
    for module, instrument in LIBRARIES.items():
        when_imported(module, instrument)
