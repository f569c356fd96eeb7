"""Which of DataHub's jobs an orchestrator's own plugin wrote, and which of ours replace them; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import attrs

from openlineage_bridge.translation import Proposal
from openlineage_bridge_datahub.encoding import job_urn

_FLOW = re.compile(r"urn:li:dataFlow:\((?P<orchestrator>[^,()]+),(?P<id>[^,()]+),(?P<env>[^,()]+)\)")
_JOB = re.compile(r"urn:li:dataJob:\((?P<flow>urn:li:dataFlow:\([^()]+\)),(?P<id>[^,()]+)\)")


# --- what the bridge holds ------------------------------------------------------------------------------------------


@attrs.frozen
class Flow:
    """A dataFlow by the parts of its URN."""

    urn: str
    orchestrator: str
    id: str
    env: str

    @classmethod
    def of(cls, urn: str) -> Flow | None:
        """None for another kind of URN."""
        parts = _FLOW.fullmatch(urn)
        return cls(urn, parts["orchestrator"], parts["id"], parts["env"]) if parts else None


def job_parts(urn: str) -> tuple[Flow, str] | None:
    """The flow of a dataJob and its id there; None for another kind of URN."""
    parts = _JOB.fullmatch(urn)
    flow = Flow.of(parts["flow"]) if parts else None
    return (flow, parts["id"]) if parts and flow else None


@attrs.define
class Ours:
    """The flows and jobs that the bridge holds.

    Args:
        flows: By URN.
        ending: Flows by orchestrator, environment and what follows the last dot of their ids.
        jobs: URNs of the jobs of each flow, by its URN.
        known_as: Our jobs by flow and the name of the function or op that their runs told.
    """

    flows: dict[str, Flow] = attrs.field(factory=dict)
    ending: dict[tuple[str, str, str], list[Flow]] = attrs.field(factory=dict)
    jobs: dict[str, set[str]] = attrs.field(factory=dict)
    known_as: dict[tuple[str, str], set[str]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, held: Iterable[Proposal]) -> Ours:
        """From everything that is held, the aspects of an entity together."""
        ours = cls()
        for urn, aspects in groupby(held, key=lambda each: each.urn):
            ours._add(urn, aspects)
        return ours

    def __contains__(self, urn: str) -> bool:
        parts = job_parts(urn)
        return urn in self.flows or (parts is not None and urn in self.jobs.get(parts[0].urn, ()))

    def _add(self, urn: str, aspects: Iterable[Proposal]) -> None:
        if flow := Flow.of(urn):
            self.flows[urn] = flow
            ending = (flow.orchestrator, flow.env, flow.id.rpartition(".")[2])
            self.ending.setdefault(ending, []).append(flow)
        elif parts := job_parts(urn):
            self.jobs.setdefault(parts[0].urn, set()).add(urn)
        elif urn.startswith("urn:li:dataProcessInstance:"):
            self._add_run({each.aspect_name: each.body for each in aspects if each.timestamp_ms is None})

    def _add_run(self, aspects: Mapping[str, bytes]) -> None:
        """What a run told about the code behind its job."""
        body = aspects.get("dataProcessInstanceProperties", b"")
        tellers = [each for each in PEERS if each.told_by.encode() in body]
        if not tellers:
            return
        job = json.loads(aspects.get("dataProcessInstanceRelationships", b"{}")).get("parentTemplate", "")
        told = json.loads(body).get("customProperties", {})
        for peer in tellers:
            if (parts := job_parts(job)) and (code := peer.code(told.get(peer.told_by, ""))):
                self.known_as.setdefault((parts[0].urn, code), set()).add(job)


# --- Prefect --------------------------------------------------------------------------------------------------------

_TASK_KEY = re.compile(r"(?:.*\.)?(?P<function>[^.]+)-(?:[0-9a-f]{8}|unknown)")


def _function(task_key: str) -> str:
    """The function's name in Prefect's task key, ``{function}-{hash}`` (``prefect.tasks._generate_task_key``).

    The hash is that of the code object, file and line numbers included: it changes with every edit above the task.
    """
    parts = _TASK_KEY.fullmatch(task_key)
    return parts["function"] if parts else ""


def _is_prefects(_: Flow, job_id: str, info: Mapping[str, Any]) -> bool:
    """A task key that is also its name, or stands among its properties (``DatahubEmitter._generate_datajob``)."""
    told = info.get("customProperties") or {}
    named = info.get("name") == job_id.rpartition(".")[2] or told.get("task_key") == repr(job_id)
    return bool(_function(job_id)) and named


def _same_flow(flow: Flow, _: str, ours: Ours) -> list[Flow]:
    return [ours.flows[flow.urn]] if flow.urn in ours.flows else []


# --- Dagster --------------------------------------------------------------------------------------------------------


def _op(job_id: str) -> str:
    """The op definition's name, in ``{folder}/{op}`` or as our runs tell it."""
    return job_id.rpartition("/")[2]


def _is_dagsters(flow: Flow, job_id: str, info: Mapping[str, Any]) -> bool:
    """``{folder}/{op}`` in ``[instance.]{folder}/{job}``, shown as the op, or what follows its last two underscores.

    ``DagsterGenerator.generate_datajob`` of acryl-datahub-dagster-plugin.
    """
    op = _op(job_id)
    return _instance(flow, job_id) is not None and info.get("name") in (op, op.split("__")[-1])


def _instance(flow: Flow, job_id: str) -> str | None:
    """What stands before the folder in the flow's id, ``instance.`` or nothing; None where the folders differ."""
    above, folder = flow.id.rpartition("/")[0], job_id.rpartition("/")[0]
    instance = above.removesuffix(folder)
    fits = folder and above.endswith(folder) and instance[-1:] in ("", ".")
    return instance if fits else None


def _same_job(flow: Flow, job_id: str, ours: Ours) -> list[Flow]:
    """The same flow, or ``[instance.]{location}.{job}``: the plugin leaves the location out, so there may be several."""
    ending = (flow.orchestrator, flow.env, flow.id.rpartition("/")[2])
    instance = _instance(flow, job_id) or ""
    located = [each for each in ours.ending.get(ending, []) if each.id.startswith(instance)]
    return _same_flow(flow, job_id, ours) or located


# --- the peers ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Peer:
    """A plugin that writes an orchestrator's jobs to DataHub.

    Args:
        name: What it is called.
        orchestrator: The platform of its flows.
        is_theirs: Whether it wrote a job of this flow and id, with this ``dataJobInfo``.
        flows: Our flows that stand for one of theirs; the id of a job in it helps to read its own.
        code: The name of the function or op in a job id of theirs, or in what our runs tell; empty where there is none.
        told_by: Property of our runs that tells it.
        shows_name: Whether the name that a job of theirs shows is the id of ours.
        node: What follows the last of these in our job ids is compared with the name of the function or op.
    """

    name: str
    orchestrator: str
    is_theirs: Callable[[Flow, str, Mapping[str, Any]], bool]
    flows: Callable[[Flow, str, Ours], list[Flow]]
    code: Callable[[str], str]
    told_by: str
    shows_name: bool = False
    node: str | None = None


PEERS = (
    Peer(
        "prefect-datahub",
        "prefect",
        _is_prefects,
        _same_flow,
        _function,
        "prefect_taskRun.taskKey",
        shows_name=True,
    ),
    Peer(
        "acryl-datahub-dagster-plugin",
        "dagster",
        _is_dagsters,
        _same_job,
        _op,
        "dagster_step.opName",
        node=".",
    ),
)


# --- theirs and ours ------------------------------------------------------------------------------------------------


@attrs.frozen
class Theirs:
    """An entity of theirs.

    Args:
        urn: The job or flow.
        peer: Who wrote it.
        replaced_by: Our entities that stand for the same, sorted.
    """

    urn: str
    peer: str
    replaced_by: tuple[str, ...]


def candidates(visible: Iterable[str], ours: Ours) -> list[str]:
    """The jobs of which it is worth asking what DataHub holds: not ours, of a flow for which one of ours stands."""
    return [
        urn
        for urn in visible
        if urn not in ours
        and (parts := job_parts(urn))
        and any(each.flows(*parts, ours) for each in PEERS if each.orchestrator == parts[0].orchestrator)
    ]


def theirs(infos: Mapping[str, Mapping[str, Any]], visible: Collection[str], ours: Ours) -> list[Theirs]:
    """The jobs that a peer wrote, behind those of its flows that would be left without a job.

    Args:
        infos: Of the candidates, ``dataJobInfo`` by URN.
        visible: URNs of all jobs and flows that DataHub shows.
        ours: What the bridge holds.
    """
    found = [each for urn, info in infos.items() if (each := _job_of_theirs(urn, info, ours))]
    return [*_emptied(found, visible, ours), *found]


def _job_of_theirs(urn: str, info: Mapping[str, Any], ours: Ours) -> Theirs | None:
    parts = job_parts(urn)
    if parts is None or urn in ours:
        return None
    for peer in PEERS:
        if peer.orchestrator == parts[0].orchestrator and peer.is_theirs(*parts, info):
            flows = peer.flows(*parts, ours)
            successors = {job for each in flows for job in _successors(peer, each, parts[1], info, ours)}
            return Theirs(urn, peer.name, tuple(sorted(successors)))
    return None


def _successors(peer: Peer, flow: Flow, job_id: str, info: Mapping[str, Any], ours: Ours) -> Collection[str]:
    """Of our flow's jobs the one with the name that theirs shows, else those of the same code, else one called like it."""
    jobs, code = ours.jobs.get(flow.urn, set()), peer.code(job_id)
    shown = job_urn(flow.urn, str(info.get("name")))
    if peer.shows_name and shown in jobs:
        return [shown]
    return ours.known_as.get((flow.urn, code)) or [each for each in jobs if _node(peer, each) == code]


def _node(peer: Peer, urn: str) -> str:
    parts = job_parts(urn)
    job_id = parts[1] if parts else ""
    return job_id.rpartition(peer.node)[2] if peer.node else job_id


def _emptied(found: Collection[Theirs], visible: Collection[str], ours: Ours) -> Iterator[Theirs]:
    """Flows that are not ours, and whose visible jobs are all found; replaced where all their jobs are."""
    known = {each.urn: each for each in found}
    jobs: dict[str, list[Theirs | None]] = {}
    for urn in visible:
        if parts := job_parts(urn):
            jobs.setdefault(parts[0].urn, []).append(known.get(urn))
    for urn in visible:
        those = [each for each in jobs.get(urn, []) if each]
        if urn not in ours and those and len(those) == len(jobs[urn]):
            flows = {parts[0].urn for each in those for job in each.replaced_by if (parts := job_parts(job))}
            replaced = flows if all(each.replaced_by for each in those) else ()
            yield Theirs(urn, those[0].peer, tuple(sorted(replaced)))
