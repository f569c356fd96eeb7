"""What subjects are called inside a store, as far as that is the same in every store."""

from __future__ import annotations

from functools import lru_cache

from openlineage_bridge.events import digest, encode
from openlineage_bridge.facts import Kind, RunKey, Subject

SubjectId = bytes


@lru_cache(maxsize=8192)  # more than one step needs: run ids come, and come never again
def subject_id(kind: Kind, subject: Subject) -> SubjectId:
    """The digest of kind and identity: no counter has to hand out ids. Runs are called otherwise (``run_ids``)."""
    job, run_id = (subject.job, subject.run_id) if isinstance(subject, RunKey) else (subject, "")
    return digest(encode([kind.value, job.namespace, job.name, run_id]))
