"""A stand-in for DataHub's server in a process of its own: it judges, keeps, patches and tells proposals, and fails on order.

Written from what GMS does (acryl-datahub's emitters and graph client; the rules by which GMS rejects): the whole request is
refused for one bad proposal, PATCH is for some aspects only, an UPSERT takes the place of what is there.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))

from bridge_tests.loopback import Handler, Server

PATCHED = {
    "globalTags": "tags",
    "glossaryTerms": "terms",
    "ownership": "owners",
    "upstreamLineage": "upstreams",
}
"""Aspects that are patched here → the list that most of their patches are about."""

SEARCHED = {"DATA_JOB": "dataJob", "DATA_FLOW": "dataFlow"}
"""What is found by ``scrollAcrossEntities`` here, as GraphQL calls it."""


@cache
def judged(entity_type: str, urn: str, aspect: str, value: str) -> str:
    """What GMS would object to; nothing for what it takes."""
    from bridge_tests import oracle

    body = json.loads(value)
    problems = oracle.judge(entity_type, urn, aspect, body, body.get("timestampMillis"))
    return "; ".join(map(str, problems))


class RefusedError(Exception):
    """The whole request is refused."""


class Gms:
    """What it holds, what was asked of it, and how it is to fail.

    ``faults`` are used up one a request that brings proposals: ``{"status": 503, "headers": {…}}``, ``{"hang": seconds}``,
    ``{"reset": "before"}`` or ``"after"`` it took what was sent, ``{"partial": n}``: it takes n of it, then 500.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.state: dict[tuple[str, str, int | None], dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []
        self.searches: list[dict[str, Any]] = []
        self.most_hits = 10_000
        self.faults: list[dict[str, Any]] = []
        self.most_bytes = 16_000_000
        self.unpacks = True
        self.config = {"noCode": "true", "patchCapable": True, "versions": {}}

    def take(self, proposals: list[dict[str, Any]]) -> None:
        """All of them, or none."""
        for each in proposals:
            self._check(each)
        for each in proposals:
            self._apply(each)

    def _check(self, proposal: dict[str, Any]) -> None:
        urn, aspect, kind = proposal["entityUrn"], proposal["aspectName"], proposal["changeType"]
        value = proposal["aspect"]["value"]
        if kind == "PATCH":
            if aspect not in PATCHED or proposal["aspect"]["contentType"] != "application/json-patch+json":
                raise RefusedError(
                    f"UnsupportedOperationException: Aspect: {aspect} does not support patch operations"
                )
        elif kind != "UPSERT":
            raise RefusedError(f"ValidationException: {kind}")
        elif problem := judged(proposal["entityType"], urn, aspect, value):
            raise RefusedError(f"ValidationException: {problem}")

    def _apply(self, proposal: dict[str, Any]) -> None:
        value = json.loads(proposal["aspect"]["value"])
        at = None if proposal["changeType"] == "PATCH" else value.get("timestampMillis")
        key = (proposal["entityUrn"], proposal["aspectName"], at)
        if proposal["changeType"] == "PATCH":
            before = self.state.get(key, {}).get("value", {})
            value = _patched(before, value, PATCHED[proposal["aspectName"]])
        self.state[key] = {"value": value, "systemMetadata": proposal.get("systemMetadata")}

    def entity(self, urn: str, aspects: list[str]) -> dict[str, Any]:
        return {
            name: held
            for (of, name, at), held in self.state.items()
            if of == urn and at is None and name in aspects
        }

    def scroll(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """A page of the jobs and flows that all rules fit; ``scrollId`` is the last URN of the page before."""
        types = tuple(f"urn:li:{SEARCHED[each]}:" for each in wanted["types"])
        urns = sorted({urn for urn, _, _ in self.state if urn.startswith(types)})
        hits = [
            urn
            for urn in urns
            if urn > (wanted["scrollId"] or "")
            and any(all(self._fits(urn, rule) for rule in each["and"]) for each in wanted["orFilters"])
        ]
        page = hits[: min(wanted["batchSize"], self.most_hits)]
        found = [{"entity": {"urn": urn}, "extraProperties": []} for urn in page]
        return {"nextScrollId": page[-1] if len(page) < len(hits) else None, "searchResults": found}

    def _fits(self, urn: str, rule: dict[str, Any]) -> bool:
        status = self.state.get((urn, "status", None), {"value": {}})["value"]
        orchestrator = urn.rpartition("urn:li:dataFlow:(")[2].partition(",")[0]
        indexed = {
            "platform.keyword": f"urn:li:dataPlatform:{orchestrator}",
            "removed": str(status.get("removed", False)).lower(),
        }
        return (indexed[rule["field"]] in rule["values"]) != rule.get("negated", False)

    def moments(self, urn: str, aspect: str) -> list[dict[str, Any]]:
        found = [
            held["value"] for (of, name, at), held in self.state.items() if (of, name) == (urn, aspect) and at
        ]
        return [{"aspect": {"value": json.dumps(each), "contentType": "application/json"}} for each in found]


def _patched(before: dict[str, Any], patch: Any, listed: str) -> dict[str, Any]:
    """A list whose elements have keys, after elements were added: the same key again takes the place of what is there."""
    operations = patch["patch"] if isinstance(patch, dict) else patch
    keys = (patch.get("arrayPrimaryKeys") or {}).get(listed) if isinstance(patch, dict) else ["dataset"]
    after = json.loads(json.dumps(before))
    for each in operations:
        assert each["op"] == "add"
        target, *way = [part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:]]
        element = each["value"]
        if target == "fineGrainedLineages":
            how, down, query, up = way
            element = {
                "upstreams": [up],
                "downstreams": [down],
                "transformOperation": how,
                "query": query,
                **element,
            }
        elements = after.setdefault(target, [])
        names = keys if target == listed else ["upstreams", "downstreams", "transformOperation", "query"]
        same = [
            n for n, old in enumerate(elements) if all(old.get(name) == element.get(name) for name in names)
        ]
        for n in reversed(same):
            del elements[n]
        elements.append(element)
    return after


GMS = Gms()


class Api(Handler):
    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/config":
            self.reply(GMS.config)
        elif path.path == "/_state":
            self.reply([[*key, held] for key, held in GMS.state.items()])
        elif path.path == "/_log":
            self.reply(GMS.log)
        elif path.path == "/_searches":
            self.reply(GMS.searches)
        elif path.path.startswith("/entitiesV2/"):
            urn = unquote(path.path.removeprefix("/entitiesV2/"))
            found = GMS.entity(urn, re.findall(r"\w+", unquote(path.query).removeprefix("aspects=List")))
            known = any(of == urn for of, _, _ in list(GMS.state))
            self.reply({"urn": urn, "aspects": found}, 200 if known else 404)
        else:
            self.reply({"message": "no such resource"}, 404)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_"):
            self._order(json.loads(sent or b"null"))
        elif self.path == "/aspects?action=getTimeseriesAspectValues":
            wanted = json.loads(sent)
            self.reply({"value": {"values": GMS.moments(wanted["urn"], wanted["aspect"])}})
        elif self.path == "/api/graphql":
            GMS.searches.append(json.loads(sent))
            self.reply({"data": {"scrollAcrossEntities": GMS.scroll(GMS.searches[-1]["variables"])}})
        elif self.path.startswith("/aspects?action=ingestProposal"):
            self._ingest(sent)
        else:
            self.reply({"message": "no such resource"}, 404)

    def _order(self, order: Any) -> None:
        with GMS.lock:
            if self.path == "/_reset":
                GMS.reset()
            else:
                setattr(GMS, self.path.removeprefix("/_"), order)
        self.reply({})

    def _ingest(self, sent: bytes) -> None:
        with GMS.lock:
            fault = GMS.faults.pop(0) if GMS.faults else {}
            entry = {
                "bytes": len(sent),
                "packed": self.headers.get("Content-Encoding") == "gzip",
                "at": time.time(),
            }
            GMS.log.append(entry)
            status, said, headers = self._taken(sent, fault, entry)
            entry["status"] = status
        if "hang" in fault:
            time.sleep(fault["hang"])  # the client is to wait in vain
        if fault.get("reset"):
            self.close_connection = True
            self.connection.close()
            return
        self.reply({"message": said} if status >= 400 else {"value": "success"}, status, headers)

    def _taken(
        self, sent: bytes, fault: dict[str, Any], entry: dict[str, Any]
    ) -> tuple[int, str, dict[str, str]]:
        if "status" in fault:
            return fault["status"], "Service Unavailable", fault.get("headers", {})
        if fault.get("reset") == "before":
            return 0, "", {}
        if len(sent) > GMS.most_bytes:
            return 413, "Request Entity Too Large", {}
        if entry["packed"] and not GMS.unpacks:
            return 400, "Cannot parse JSON: Illegal character (0x1F)", {}
        request = json.loads(gzip.decompress(sent) if entry["packed"] else sent)
        proposals = request["proposals"] if "proposals" in request else [request["proposal"]]
        entry["proposals"] = len(proposals)
        entry["entities"] = [each["entityUrn"] for each in proposals]
        try:
            GMS.take(proposals[: fault["partial"]] if "partial" in fault else proposals)
        except RefusedError as refusal:
            return 400, str(refusal), {}
        return (
            (500, "java.lang.RuntimeException: lost the database", {})
            if "partial" in fault
            else (200, "", {})
        )


# --- seen from a test -----------------------------------------------------------------------------------------------


class Remote:
    """The process, asked and ordered about over HTTP."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def order(self, **orders: Any) -> Remote:
        """Set ``faults``, ``most_bytes``, ``most_hits``, ``unpacks`` or ``config``."""
        for name, value in orders.items():
            self._call(f"/_{name}", value)
        return self

    def reset(self) -> None:
        """As if it had just started."""
        self._call("/_reset", None)

    def write(self, urn: str, aspect: str, value: Any, *, run_id: str = "no-run-id-provided") -> None:
        """What somebody else does to DataHub."""
        proposal = {
            "entityType": urn.split(":")[2],
            "entityUrn": urn,
            "changeType": "UPSERT",
            "aspectName": aspect,
            "aspect": {"value": json.dumps(value), "contentType": "application/json"},
            "systemMetadata": {"runId": run_id, "lastObserved": 1},
        }
        self._call("/aspects?action=ingestProposalBatch", {"proposals": [proposal], "async": "false"})

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every request that brought proposals."""
        found: list[dict[str, Any]] = self._get("/_log")
        return found

    @property
    def searches(self) -> list[dict[str, Any]]:
        """Every request for a page of search results."""
        found: list[dict[str, Any]] = self._get("/_searches")
        return found

    @property
    def state(self) -> dict[tuple[str, str, int | None], Any]:
        """Everything it holds, by URN, aspect and moment; lists that are added to in no particular order."""
        return {(urn, name, at): _sorted(held["value"], name) for urn, name, at, held in self._get("/_state")}

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def _call(self, path: str, body: Any) -> None:
        urllib.request.urlopen(self.url + path, json.dumps(body).encode(), timeout=30).close()


def _sorted(value: Any, name: str) -> Any:
    if name not in PATCHED:
        return value
    return {
        key: sorted(each, key=json.dumps) if isinstance(each, list) else each for key, each in value.items()
    }


@contextmanager
def running() -> Iterator[Remote]:
    """The stand-in in a process of its own; gone when the block is left."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Remote(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.kill()


def main() -> None:
    """Serve until killed; the port is the first line of the output."""
    with Server(("127.0.0.1", 0), Api) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
