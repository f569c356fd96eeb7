"""What ``openlineage-bridge export`` holds is the same whoever told it: the collector, the watcher, both, or a back-fill."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import open_readonly

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

SCRIPTS = Path(__file__).parent / "scripts"
# Assets, and runs with names of their own, are not in the scenario.
RUN = ("scenario.py", "watched.py")
SECONDS = 600.0

Export = dict[tuple[str, str, int | None], dict[str, Any]]

# Aspect, and the beginning of what is left out of it → why nobody outside the process of a run can know it.
UNSEEN = {
    ("dataFlowInfo", "description"): "the docstring or description of a flow is not sent to Prefect's server",
    ("dataJobInfo", "description"): "nor is that of a task",
    ("dataFlowInfo", "customProperties.sourceCodeLocation."): "the repository that the process runs from",
    ("dataJobInfo", "customProperties.sourceCodeLocation."): "the same",
    ("dataProcessInstanceProperties", "customProperties.prefect_execution."): "options in the code",
    (
        "dataProcessInstanceProperties",
        "customProperties.errorMessage.",
    ): "the exception and its traceback: the "
    "server has the message of the state, which stands in their place",
}

# A version is the commit of the code, which only its process knows; outside there is the engine's at most.
UNSEEN_ASPECTS = {"versionInfo"}

# Runs of tasks alone: Prefect's server is told the parameters of flow runs only.
UNSEEN_OF_TASKS = "customProperties.parameter."

_CONSUMES = "for Prefect, the task around what consumes a generator is the generator"
_CALLED_BY_A_TASK = "Prefect records who called a flow only where that is a flow, or a task in one"

# Job → why Prefect's server knows another parent of some of its runs, or none.
UNSEEN_PARENTS = {
    "urn:li:dataJob:(urn:li:dataFlow:(prefect,sync flow,PROD),takes)": _CONSUMES,
    "urn:li:dataJob:(urn:li:dataFlow:(prefect,generating,PROD),takes)": _CONSUMES,
    "urn:li:dataJob:(urn:li:dataFlow:(prefect,async generating,PROD),async_takes)": _CONSUMES,
    "urn:li:dataFlow:(prefect,child-flow,PROD)": _CALLED_BY_A_TASK,
    "urn:li:dataFlow:(prefect,called from the background,PROD)": _CALLED_BY_A_TASK,
}

# Of runs of deployments: aspect, and the beginning of what is left out of it → why it depends on when Prefect's server is asked.
AS_OF = {
    (
        "dataProcessInstanceProperties",
        "customProperties.prefect_flowRun.flowVersion",
    ): "the server is told when the flow begins, after a worker has begun with its run",
    (
        "dataProcessInstanceProperties",
        "customProperties.prefect_flowRun.infrastructurePid",
    ): "a worker tells it after it started the process; that of the latest attempt is kept",
    (
        "dataProcessInstanceProperties",
        "customProperties.prefect_flowRun.runCount",
    ): "that of the run as it is, in a back-fill",
    ("dataProcessInstanceRunEvent", "attempt"): "the same",
    (
        "dataProcessInstanceProperties",
        "customProperties.prefect_deployment.paused",
    ): "a deployment is paused when nobody serves it any more",
}

# What comes with the end of a run that was left behind: why it is thought to have ended.
WITH_THE_END = {("dataProcessInstanceProperties", "customProperties.errorMessage.")}

# Job → why the collector, whose process was killed, does not tell the end of some of its runs.
UNENDED = {
    "urn:li:dataJob:(urn:li:dataFlow:(prefect,hanging,PROD),hangs)": "of a task run nobody else tells anything; "
    "those outside tell that it was left behind when its flow run ended",
    "urn:li:dataFlow:(prefect,ended,PROD)": "no worker started the process, and for Prefect it goes on; "
    "those outside tell the end when three heartbeats are missing, each after three minutes",
    "urn:li:dataJob:(urn:li:dataFlow:(prefect,ended,PROD),ends_as_told)": "the same",
}


@attrs.frozen
class Place:
    """Where bridges, scripts and watchers run.

    Args:
        folder: The folder of the stores.
        api: Prefect's API.
        began: A moment before the first run.
        environment_of: The environment of a process with this home.
        process: Runs a process while the block lasts.
        wait_until: Polls until a condition holds.
    """

    folder: Path
    api: str
    began: datetime
    environment_of: Callable[..., dict[str, str]]
    process: Callable[..., AbstractContextManager[Any]]
    wait_until: Callable[[Callable[[], bool], float, str], None]

    def store(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def env(self, url: str) -> dict[str, str]:
        """What a process has in its environment that reports to a bridge."""
        return self.environment_of(self.folder, PREFECT_API_URL=self.api, OPENLINEAGE_URL=url)

    @contextlib.contextmanager
    def bridge(self, name: str) -> Iterator[str]:
        """The address of a bridge, which has dealt with all that it was sent when the block is left."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        line = ("serve", "--store", str(self.store(name)), "--port", str(port))
        with self.process(*command(*line), log=self.folder / f"{name}.log", env=self.env(url)):
            self.wait_until(lambda: _answers(f"{url}/readyz"), SECONDS, "the bridge")
            yield url
            self.wait_until(lambda: self._waiting(name) == 0, SECONDS, "the bridge to be done")

    def _waiting(self, name: str) -> int:
        """Events that wait to be processed."""
        done = self.run("status", "--store", str(self.store(name)), "--format", "json")
        return int(json.loads(done)["inbox_events"])

    def run(self, *arguments: str, url: str = "http://127.0.0.1:9") -> str:
        """What a command of ``openlineage-bridge`` prints; it must succeed."""
        done = subprocess.run(
            command(*arguments),
            env=self.env(url),
            cwd=self.folder,
            timeout=SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def export(self, name: str) -> Export:
        """Everything that the catalog should hold: (URN, aspect, moment) → value.

        Not what was done to the same datasets before: a watcher looks back a little further than it is told, and other tests'
        runs on the same server may have ended then.
        """
        found = json.loads(self.run("export", "--store", str(self.store(name)), "--output", "-"))
        values = [(each["entityUrn"], each["aspectName"], each["aspect"]["json"]) for each in found]
        keyed = {(urn, name, value.get("timestampMillis")): value for urn, name, value in values}
        began = self.began.timestamp() * 1000
        return {key: value for key, value in keyed.items() if key[2] is None or key[2] >= began}

    def ended(self, name: str) -> set[str]:
        """The runs whose end has arrived."""
        with closing(open_readonly(self.store(name))) as connection:
            return {
                each.urn
                for each in holdings(connection)
                if each.aspect_name == "dataProcessInstanceRunEvent"
                and json.loads(each.body)["status"] == "COMPLETE"
            }

    def watching(self, url: str, name: str) -> AbstractContextManager[Any]:
        """A watcher that reports to a bridge, from the first run on, while the block lasts."""
        since = ("--since", self.began.strftime("%Y-%m-%dT%H:%M:%S"), "--state", f"{name}.state")
        line = command("prefect", "watch", "--every", "1", *since)
        return self.process(*line, log=self.folder / f"{name}.watch.log", env=self.env(url))


def command(*arguments: str) -> tuple[str, ...]:
    """``openlineage-bridge`` with these arguments."""
    return str(Path(sys.executable).with_name("openlineage-bridge")), *arguments


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as response:
        return bool(response.status == 200)
    return False


@pytest.fixture(scope="module")
def place(prefect_server, environment_of, process, wait_until, tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("exports")
    # The commands take whole seconds, and on the same server other tests' runs may have ended in this one.
    began = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > began, 10, "the next second")
    return Place(folder, prefect_server.api, began, environment_of, process, wait_until)


@pytest.fixture(scope="module")
def exports(place) -> dict[str, Export]:
    """The export after each way to tell a bridge of the same runs."""
    found = {}
    with place.bridge("watched") as outside, place.watching(outside, "live"):
        with place.bridge("collected") as inside:
            run_all(place, inside)
        found["collected"] = place.export("collected")
        everything = place.ended("collected")
        assert everything
        place.wait_until(lambda: everything <= place.ended("watched"), SECONDS, "the watcher")
    found["watched"] = place.export("watched")
    since = ("--since", place.began.strftime("%Y-%m-%dT%H:%M:%S"))
    with place.bridge("backfilled") as empty:
        place.run("prefect", "backfill", *since, "--state", "backfill.state", url=empty)
    found["backfilled"] = place.export("backfilled")
    # The back-fill's and the watcher's word on top of the collector's.
    with place.bridge("collected") as both:
        place.run("prefect", "backfill", *since, "--state", "again.state", url=both)
        place.run("prefect", "watch", "--once", *since, "--state", "watch.state", url=both)
    found["both"] = place.export("collected")
    return found


def run_all(place: Place, url: str) -> None:
    """Run everything; the bridge has all its events when this returns."""
    env = place.env(url)
    assert [run(place, env, script) for script in RUN] == [0, 0]
    place.run("spool", "flush", url=url)


def run(place: Place, env: dict[str, str], script: str) -> int:
    with (place.folder / f"{script}.log").open("wb") as log:
        line = (sys.executable, str(SCRIPTS / script))
        return subprocess.run(
            line, env=env, cwd=place.folder, timeout=SECONDS, stdout=log, stderr=log, check=False
        ).returncode


def visible(export: Export, collected: Export) -> Export:
    """What is told of all that the collector tells of, without what nobody outside can know."""
    entities, unrooted = {urn for urn, _, _ in collected}, below_unseen(collected)
    return {
        key: _without(key[1], value, rooted=key[0] not in unrooted)
        for key, value in lasting(export, collected).items()
        if key[0] in entities and key[1] not in UNSEEN_ASPECTS
    }


def lasting(export: Export, collected: Export) -> Export:
    """What does not depend on when Prefect's server is asked, without the ends that the collector does not tell."""
    left_out = dict.fromkeys(runs_of_deployments(collected), AS_OF)
    left_out |= dict.fromkeys(killed := unended(collected), WITH_THE_END)
    return {
        key: _but(key[1], value, left_out.get(key[0], ()))
        for key, value in export.items()
        if not (key[0] in killed and value.get("status") == "COMPLETE")
    }


def runs_of_deployments(export: Export) -> set[str]:
    return {
        urn
        for (urn, _, _), value in export.items()
        if "prefect_deployment.deploymentId" in value.get("customProperties", {})
    }


def unended(export: Export) -> set[str]:
    """The runs that have begun, and whose end is not told."""
    status = [(urn, value.get("status")) for (urn, _, _), value in export.items()]
    return {urn for urn, each in status if each == "STARTED"} - {
        urn for urn, each in status if each == "COMPLETE"
    }


def below_unseen(export: Export) -> set[str]:
    """The runs whose parent outside is another, and all below them: so is their root."""
    relations = {urn: value for (urn, name, _), value in export.items() if name.endswith("Relationships")}
    found = {urn for urn, value in relations.items() if value.get("parentTemplate") in UNSEEN_PARENTS}
    while more := {urn for urn, value in relations.items() if value.get("parentInstance") in found} - found:
        found |= more
    return found


def _without(aspect: str, value: dict[str, Any], *, rooted: bool) -> dict[str, Any]:
    unseen = {*UNSEEN, *(() if rooted else ((aspect, "customProperties.root."),))}
    if "prefect_taskRun.taskRunId" in value.get("customProperties", {}):
        unseen.add((aspect, UNSEEN_OF_TASKS))
    seen = _but(aspect, value, unseen)
    if aspect == "dataProcessInstanceRelationships" and value.get("parentTemplate") in UNSEEN_PARENTS:
        seen.pop("parentInstance", None)
    return seen


def _but(aspect: str, value: dict[str, Any], what: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The value without some of its fields and custom properties."""
    left_out = tuple(beginning for of, beginning in what if of == aspect)
    seen = {name: each for name, each in value.items() if name not in left_out}
    if properties := value.get("customProperties"):
        seen["customProperties"] = {
            name: each
            for name, each in properties.items()
            if not f"customProperties.{name}".startswith(left_out)
        }
    return seen


def failures(export: Export, entities: set[str]) -> set[str]:
    """The runs of which it is told why they failed."""
    return {
        urn
        for (urn, _, _), value in export.items()
        if urn in entities and value.get("customProperties", {}).get("errorMessage.message")
    }


@pytest.mark.parametrize("source", ["watched", "backfilled"])
def test_from_outside_it_is_the_same(exports, source) -> None:
    """In all that can be seen from outside; and why a run failed is told of the same runs."""
    collected, outside = exports["collected"], exports[source]
    entities = {urn for urn, _, _ in collected} - unended(collected)

    assert visible(collected, collected) == visible(outside, collected)
    assert failures(collected, entities) == failures(outside, entities)


def test_whose_end_the_collector_cannot_tell(exports) -> None:
    """Runs whose process was killed, and no others."""
    collected = exports["collected"]
    jobs = {
        value["parentTemplate"]
        for (urn, name, _), value in collected.items()
        if urn in unended(collected) and name.endswith("Relationships")
    }

    assert set(UNENDED) == jobs


def test_beside_the_collector_nothing_changes(exports) -> None:
    """What is told from outside on top of the collector's word changes no byte of it, but for the deployments and ends above."""
    collected = exports["collected"]
    entities = {urn for urn, _, _ in collected}
    both = {key: value for key, value in exports["both"].items() if key[0] in entities}

    assert lasting(collected, collected) == lasting(both, collected)
