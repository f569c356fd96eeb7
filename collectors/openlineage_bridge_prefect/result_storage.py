"""Prefect's own results: what its result stores read and write through storage blocks is nobody's lineage.

Results may lie in the very bucket that holds the user's data, behind the same kind of block; only who asks tells them apart.
"""

from __future__ import annotations

from types import ModuleType

from openlineage_bridge_capture.stores import ownership

METHODS = (
    "_aexists",
    "_apersist_result_record",
    "_aread",
    "_exists",
    "_persist_result_record",
    "_read",
    "aexists",
    "apersist_result_record",
    "aread",
    "awrite",
    "exists",
    "persist_result_record",
    "read",
    "write",
)
"""Methods of ``ResultStore`` that touch its storage; which there are changed from 3.0 to 3.8."""


def instrument(module: ModuleType) -> None:
    """Say of the stores of this ``prefect.results`` that their traffic is Prefect's; doing it again changes nothing."""
    for name in METHODS:
        ownership.give_to_host(module.ResultStore, name)
