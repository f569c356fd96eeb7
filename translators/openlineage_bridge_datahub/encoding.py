"""DataHub URN text: which characters are encoded, how long a URN may be, and what to do with one that is too long."""

from __future__ import annotations

import hashlib
import re
import string

MAX_ENCODED = 512
"""Longest URN that GMS accepts, counted after Java's ``URLEncoder`` (``ValidationApiUtils``)."""

# The four characters that structure a URN (acryl-datahub, utilities/urn_encoder.py). `%` is not encoded.
_RESERVED = str.maketrans({",": "%2C", "(": "%28", ")": "%29", "␟": "%E2%90%9F"})
_RESERVED_PATTERN = re.compile("[,()␟]")

# What java.net.URLEncoder leaves as one character; a space becomes a plus.
_WITHOUT_ONE_BYTE = dict.fromkeys(map(ord, string.ascii_letters + string.digits + ".-*_ "))

_DIGEST_LENGTH = 12
_FLOW_BUDGET = 300
_CLUSTER_BUDGET = 100


def encode(text: str) -> str:
    """One component of a URN, with its reserved characters encoded as DataHub's ``UrnEncoder`` does."""
    return text.translate(_RESERVED) if _RESERVED_PATTERN.search(text) else text


def encoded_length(text: str) -> int:
    """The length of ``text`` after Java's ``URLEncoder.encode``: what GMS compares with ``MAX_ENCODED``."""
    others = text.translate(_WITHOUT_ONE_BYTE)
    return len(text) - len(others) + 3 * len(others.encode(errors="replace"))


def is_too_long(urn: str) -> bool:
    """Whether GMS refuses this URN for its length."""
    return _exceeds(urn, MAX_ENCODED)


def _exceeds(text: str, budget: int) -> bool:
    """Whether the encoded text is longer; a character takes at most nine, one of ASCII three: most need no counting."""
    return len(text) * (3 if text.isascii() else 9) > budget and encoded_length(text) > budget


def shortened(text: str, budget: int) -> str:
    """``text``, or where its encoded length is over ``budget`` a readable head and a digest of the whole.

    The same text always gives the same result, so a job keeps its name from run to run.
    """
    if not _exceeds(text, budget):
        return text
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_DIGEST_LENGTH]
    left, head = budget - _DIGEST_LENGTH - 1, ""
    for char in text:
        left -= encoded_length(char)
        if left < 0:
            break
        head += char
    return f"{head}.{digest}"


def platform_urn(platform: str) -> str:
    """``urn:li:dataPlatform:…``."""
    return f"urn:li:dataPlatform:{platform}"


def platform_instance_urn(platform: str, instance: str) -> str:
    """``urn:li:dataPlatformInstance:(…)``."""
    return f"urn:li:dataPlatformInstance:({platform_urn(platform)},{encode(instance)})"


def dataset_urn(platform: str, name: str, env: str) -> str:
    """``urn:li:dataset:(…)`` of an already encoded name."""
    return f"urn:li:dataset:({platform_urn(platform)},{name},{env})"


def field_urn(dataset: str, path: str) -> str:
    """``urn:li:schemaField:(…)`` of a column; exempt from the length limit."""
    return f"urn:li:schemaField:({dataset},{encode(path)})"


def domain_urn(domain: str) -> str:
    """``urn:li:domain:…`` of a domain's id; a URN is taken as it is."""
    return domain if domain.startswith("urn:li:domain:") else f"urn:li:domain:{encode(domain)}"


def flow_urn(orchestrator: str, flow_id: str, cluster: str) -> str:
    """``urn:li:dataFlow:(…)``; a flow id or cluster so long that its jobs would be refused is shortened."""
    flow, place = _encoded_within(flow_id, _FLOW_BUDGET), _encoded_within(cluster, _CLUSTER_BUDGET)
    return f"urn:li:dataFlow:({orchestrator},{flow},{place})"


def job_urn(flow: str, job_id: str) -> str:
    """``urn:li:dataJob:(…)``; the job id is shortened to what GMS accepts beside its flow."""
    overhead = encoded_length(f"urn:li:dataJob:({flow},)")
    return f"urn:li:dataJob:({flow},{_encoded_within(job_id, MAX_ENCODED - overhead)})"


def _encoded_within(text: str, budget: int) -> str:
    """The encoded ``text`` within ``budget``; encoding makes ``(`` five characters long after Java's own encoding."""
    return shortened(encode(text), budget)


def instance_run_urn(run_id: str) -> str:
    """``urn:li:dataProcessInstance:…``: the run id itself, as DataHub's own converter writes it."""
    return f"urn:li:dataProcessInstance:{encode(run_id)}"
