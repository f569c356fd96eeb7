"""What the tests of the DataHub translator share: the judge, a stand-in for GMS, and short ways to write states."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import attrs
import pytest
from bridge_tests.loopback import Handler, serving

from openlineage_bridge.events import DatasetKey, Facets, JobKey
from openlineage_bridge.lineage import Lineage, lineage_of
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import (
    Aspect,
    DatasetState,
    JobIdentity,
    JobState,
    Proposal,
    RunState,
    Use,
)
from openlineage_bridge_datahub import DataHubTranslator


class Accepted(list[Aspect]):
    """Aspects that DataHub accepts."""

    def by_name(self, entity: str | None = None) -> dict[str, Any]:
        """Their values by name; of one kind of entity, where that is said."""
        return {each.name: each.value for each in self if entity in (None, each.entity_type)}


@pytest.fixture(scope="session")
def accepted(oracle) -> Callable[[Any], Accepted]:
    """Aspects as a list, after DataHub's classes and rules found nothing to object to."""

    def check(aspects: Iterable[Aspect]) -> Accepted:
        found = Accepted(aspects)
        problems = [
            problem
            for each in found
            for problem in oracle.judge(each.entity_type, each.urn, each.name, each.value, each.timestamp_ms)
        ]
        assert not problems
        return found

    return check


# --- states ---------------------------------------------------------------------------------------------------------


class States:
    """Short ways to write what a translator is given."""

    @staticmethod
    def facets(**facets: Any) -> Facets:
        return Facets({name: json.dumps(value).encode() for name, value in facets.items()})

    def dataset(self, namespace: str, name: str, **facets: Any) -> DatasetState:
        return DatasetState(DatasetKey(namespace, name), self.facets(**facets))

    def use(self, namespace: str, name: str, facets: dict[str, Any] | None = None, **use: Any) -> Use:
        return Use(self.dataset(namespace, name, **(facets or {})), self.facets(**use))

    def identity(
        self,
        name: str,
        *,
        namespace: str = "prefect",
        parent: Any = None,
        root: Any = None,
        producer: str = "",
        engine: str = "",
        **facets: Any,
    ) -> JobIdentity:
        return JobIdentity(
            JobKey(namespace, name),
            self.facets(**facets),
            producer,
            _job_key(namespace, parent),
            _job_key(namespace, root),
            engine,
        )

    def job(
        self, identity: JobIdentity, inputs=(), outputs=(), lineage: Lineage | None = None, **run: Any
    ) -> JobState:
        if lineage is None:
            lineage = lineage_of(
                identity.key,
                {each.dataset.key: each.facets for each in inputs},
                {each.dataset.key: each.facets for each in outputs},
                identity.facets.get("lineage"),
            )
        return JobState(identity, tuple(inputs), tuple(outputs), lineage, self.facets(**run))

    def run(
        self, identity: JobIdentity, run_id: str, *, facets: dict[str, Any] | None = None, **fields: Any
    ) -> RunState:
        return RunState(run_id, identity, self.facets(**(facets or {})), **fields)


def _job_key(namespace: str, name: Any) -> JobKey | None:
    return JobKey(namespace, name) if isinstance(name, str) else name


@pytest.fixture(scope="session")
def states() -> States:
    return States()


@pytest.fixture(scope="session")
def proposals() -> Callable[[int], list[Proposal]]:
    """That many different proposals."""

    def make(count: int, size: int = 0) -> list[Proposal]:
        body = json.dumps({"removed": False}).encode() + b" " * size
        return [
            Proposal("dataset", f"urn:li:dataset:(urn:li:dataPlatform:s3,b/é{n},PROD)", "status", body)
            for n in range(count)
        ]

    return make


# --- a flow `etl` with a task `load` that reads orders and writes statistics --------------------------------------------


@pytest.fixture
def translator():
    return DataHubTranslator()


@pytest.fixture
def orders(states):
    return states.use("snowflake://a", "A.P.ORDERS", {"schema": {"fields": [{"name": "ID", "type": "int"}]}})


@pytest.fixture
def stats(states):
    source = {"namespace": "snowflake://a", "name": "A.P.ORDERS"}
    direct = {**source, "field": "ID", "transformations": [{"type": "DIRECT", "subtype": "AGGREGATION"}]}
    indirect = {**source, "field": "DAY", "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}]}
    return states.use(
        "postgres://h",
        "d.s.stats",
        columnLineage={"fields": {"n": {"inputFields": [direct, indirect]}}},
        outputStatistics={"rowCount": 3},
    )


@pytest.fixture
def load(states):
    return states.identity(
        "etl.load",
        parent="etl",
        jobType={"integration": "PREFECT", "jobType": "TASK", "processingType": "BATCH"},
    )


# --- histories ------------------------------------------------------------------------------------------------------


class Catalog(dict[tuple[str, str], Any]):
    """What DataHub should hold, by entity and aspect; of a timeseries aspect all values, oldest first."""

    def inputs(self, job: str) -> set[str]:
        """The datasets that a job reads."""
        return self._ends(job, "inputDatasetEdges")

    def outputs(self, job: str) -> set[str]:
        """The datasets that a job writes."""
        return self._ends(job, "outputDatasetEdges")

    def _ends(self, job: str, field: str) -> set[str]:
        return {each["destinationUrn"] for each in self.get((job, "dataJobInputOutput"), {}).get(field, [])}


@pytest.fixture(scope="session")
def catalog_after() -> Callable[..., Catalog]:
    """What the bridge makes DataHub hold after it heard these events one by one.

    Each event goes through inbox, facts and the translator by itself, as a trickle of events does.
    """

    def hear(*heard: dict[str, Any], **options: Any) -> Catalog:
        with Store(MEMORY) as store:
            pipeline = Pipeline(store, DataHubTranslator.from_options(options))
            for event in heard:
                with store.transaction():
                    store.inbox.put([inspect(json.dumps(event).encode())], receiver="test", now=0)
                pipeline.drain()
            assert not list(store.quarantine.entries())
            found = Catalog()
            for each in holdings(store.connection):
                value, key = json.loads(each.body), (each.urn, each.aspect_name)
                found[key] = value if each.timestamp_ms is None else [*found.get(key, []), value]
            return found

    return hear


# --- GMS ------------------------------------------------------------------------------------------------------------


@attrs.define
class Gms:
    """A stand-in for DataHub's server that records requests and answers as ``answer`` says.

    What it is asked for (``GET /entitiesV2/…``) it answers from ``held``: by URN the aspects, each in its envelope;
    ``asked`` are the paths, and ``status`` is another answer than 200; ``config`` says what it is able to. A search finds what is in ``held`` and has the
    words, or is equal to the values; ``searched`` are its inputs.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = attrs.field(factory=list)
    held: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)
    status: int = 200
    config: dict[str, Any] = attrs.field(factory=lambda: {"noCode": "true", "patchCapable": True})
    searched: list[dict[str, Any]] = attrs.field(factory=list)
    answer: Callable[[dict[str, Any]], tuple[int, bytes]] = attrs.field(default=lambda _: (200, b"{}"))

    @property
    def received(self) -> list[dict[str, Any]]:
        """All proposals received, in order."""
        return [each for _, _, body in self.requests for each in json.loads(body)["proposals"]]

    def search(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """As GMS searches, on the fields that are used here."""
        self.searched.append(wanted)
        words = wanted["query"].strip('"*').lower()
        rules = [rule for each in wanted["orFilters"] for rule in each["and"]]
        hits = [
            urn
            for urn in self.held
            if words in urn.lower()
            and any(
                (rule["field"] == "platform" and f"({rule['values'][0]}," in urn)
                or (rule["field"] == "urn" and urn in rule["values"])
                or (rule["field"] == "lowercasedUrn" and urn.lower() in rule["values"])
                for rule in rules
            )
        ]
        return {
            "data": {"searchAcrossEntities": {"searchResults": [{"entity": {"urn": urn}} for urn in hits]}}
        }


@pytest.fixture
def gms() -> Iterator[Gms]:
    stand_in = Gms()

    class Api(Handler):
        def do_POST(self) -> None:
            body = self.body()
            if self.path == "/api/graphql":
                self.reply(stand_in.search(json.loads(body)["variables"]["input"]), stand_in.status)
                return
            stand_in.requests.append((self.path, dict(self.headers), body))
            status, answer = stand_in.answer(json.loads(body))
            self.reply(answer, status)

        def do_GET(self) -> None:
            if self.path == "/config":
                self.reply(stand_in.config)
                return
            stand_in.asked.append(self.path)
            urn = unquote(self.path.removeprefix("/entitiesV2/").partition("?")[0])
            missing = 200 if urn in stand_in.held else 404
            status = stand_in.status if stand_in.status != 200 else missing
            self.reply({"urn": urn, "aspects": stand_in.held.get(urn, {})}, status)

    with serving(Api) as server:
        stand_in.url = server.url
        yield stand_in
