"""Dagster's GraphQL API: what its UI does when a person presses a button."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

LOCATION = "golden"
REPOSITORY = "__repository__"
BOUND = 180.0
"""Seconds that Dagster may take for anything on a busy machine."""

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
AGAIN = """
mutation($params: ReexecutionParams) { launchRunReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
TERMINATE = """
mutation($run: String!) { terminateRun(runId: $run) {
  __typename ... on TerminateRunSuccess { run { runId } } ... on TerminateRunFailure { message } } }
"""
REPORT = """
mutation($params: ReportRunlessAssetEventsParams!) { reportRunlessAssetEvents(eventParams: $params) {
  __typename ... on ReportRunlessAssetEventsSuccess { assetKey { path } } ... on PythonError { message } } }
"""
WIPE = """
mutation($ranges: [PartitionsByAssetSelector!]!) { wipeAssets(assetPartitionRanges: $ranges) {
  __typename ... on AssetWipeSuccess { assetPartitionRanges { assetKey { path } } } ... on PythonError { message } } }
"""
STATUSES = "{ runsOrError { ... on Runs { results { runId status } } } }"
LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""
ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})


class UI:
    """A person before a running webserver.

    Args:
        port: The webserver's port on loopback.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"

    def wait_until_loaded(self) -> None:
        """Wait for the webserver, and for it to know the code location."""
        until(self._is_loaded, "the code location is loaded")

    def launch(self, case: str, job: str, *, assets: tuple[str, ...] = ()) -> str:
        """Launch a run; its id."""
        selector: dict[str, Any] = {
            "repositoryLocationName": LOCATION,
            "repositoryName": REPOSITORY,
            "jobName": job,
        }
        if assets:
            selector["assetSelection"] = [{"path": [name]} for name in assets]
        tags = [{"key": "case", "value": case}]
        answer = self._do(
            LAUNCH,
            params={"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}},
        )
        return answer["run"]["runId"]

    def run_again(self, run_id: str) -> str:
        """Re-execute a run from its failure; the new run's id."""
        params = {"parentRunId": run_id, "strategy": "FROM_FAILURE"}
        return self._do(AGAIN, params=params)["run"]["runId"]

    def backfill(self, case: str, asset: str, *partitions: str) -> None:
        """Materialize partitions of an asset; the daemon launches the runs."""
        params = {
            "assetSelection": [{"path": [asset]}],
            "partitionNames": list(partitions),
            "tags": [{"key": "case", "value": case}],
        }
        self._do(BACKFILL, params=params)

    def cancel(self, run_id: str) -> None:
        """Cancel a run, wherever it is."""
        self._do(TERMINATE, run=run_id)

    def report(self, asset: str) -> None:
        """Report that an asset was materialized elsewhere."""
        self._do(REPORT, params={"eventType": "ASSET_MATERIALIZATION", "assetKey": {"path": [asset]}})

    def wipe(self, asset: str) -> None:
        """Wipe the materializations of an asset."""
        self._do(WIPE, ranges=[{"assetKey": {"path": [asset]}}])

    def status(self) -> dict[str, str]:
        """Status of each run."""
        runs = self._ask(STATUSES, {})["runsOrError"]["results"]
        return {run["runId"]: run["status"] for run in runs}

    def wait_for_end(self, *run_ids: str) -> None:
        """Wait until runs have ended, however they end."""
        until(
            lambda: ENDED.issuperset((status := self.status()).get(each) for each in run_ids) and status,
            "the runs have ended",
        )

    def _is_loaded(self) -> bool:
        try:
            entries = self._ask(LOCATIONS, {})["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, ConnectionError):
            return False
        states = [entry["locationOrLoadError"] for entry in entries if entry["loadStatus"] == "LOADED"]
        assert all("message" not in state for state in states), states
        return len(states) == 1

    def _do(self, mutation: str, **variables: Any) -> Any:
        [answer] = self._ask(mutation, variables).values()
        assert answer["__typename"].endswith("Success"), answer
        return answer

    def _ask(self, query: str, variables: dict[str, Any]) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=BOUND) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert not answer.get("errors"), answer
        return answer["data"]


def until(holds, what: str, seconds: float = BOUND, every: float = 0.5) -> None:
    """Ask again and again until something holds.

    Raises:
        AssertionError: It did not in that time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(every)
