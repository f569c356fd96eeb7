"""`openlineage-bridge demo`: the whole product on one machine, twice on the same folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
OUR_COMMAND = [sys.executable, "-m", "openlineage_bridge"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def run(*arguments, cwd, timeout=240):
    return subprocess.run(
        [*OUR_COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=True
    ).stdout


@pytest.fixture(scope="module")
def runs(folder):
    """What two runs of the demo print."""
    return [run("demo", "--folder", "shop", cwd=folder) for _ in range(2)]


def sent(output):
    """How many proposals the demo says that it sent."""
    return int(re.search(r"(\d+) proposals to", output)[1])


def test_lineage_crosses_both_orchestrators(runs):
    """The report of a Prefect flow is traced through Dagster's tables to the files that another flow loaded."""
    lines = [line.strip(" │├└─") for line in runs[0].splitlines()]
    chain = ["revenue.csv (file)", "report-revenue.write_report", "warehouse.marts.revenue_by_country"]
    chain += [
        "shop.nightly_marts.revenue_by_country",
        "shop.nightly_marts.paid_orders",
        "warehouse.raw.orders",
    ]
    chain += ["load-shop.load_orders", "orders.csv (file)"]
    places = [next(n for n, line in enumerate(lines) if part in line) for part in chain]

    assert places == sorted(places)


def test_the_task_that_fails_is_shown(runs):
    """One run failed, with the reason; the flow around it did not."""
    failed = [line for line in runs[0].splitlines() if "FAIL" in line]

    assert len(failed) == 1
    assert "report-revenue.send_to_partner" in failed[0]
    assert "the partner's server did not take" in failed[0]


def test_the_second_run_sends_only_news(runs, folder):
    """Tables, columns and jobs are as they were: of them nothing is sent again but that they were written once more."""
    lines = (folder / "shop" / "proposals.json").read_text().splitlines()
    proposals = [json.loads(line.rstrip(",")) for line in lines if line.startswith("{")]
    second = proposals[sent(runs[0]) :]

    assert sent(runs[1]) == len(second)
    of_runs = [proposal for proposal in second if proposal["entityType"] == "dataProcessInstance"]
    others = {
        (proposal["entityType"], proposal["aspectName"]) for proposal in second if proposal not in of_runs
    }
    assert of_runs
    assert {("dataset", "operation")} == others


def test_the_export_is_read_by_datahub(runs, folder, datahub_ingest, oracle):
    """`datahub ingest` reads the export without an error, and every aspect in it is one that DataHub takes."""
    export = folder / "export.json"
    run("export", "--store", "shop/bridge.db", "--output", export, cwd=folder)

    read = datahub_ingest(export, folder / "checked.json")

    proposals = json.loads(export.read_text())
    assert len(proposals) == len(read)
    assert [] == [problem for each in proposals for problem in judged(oracle, each)]


def judged(oracle, proposal):
    """What DataHub would object to."""
    value = proposal["aspect"]["json"]
    moment = value.get("timestampMillis")
    return oracle.judge(proposal["entityType"], proposal["entityUrn"], proposal["aspectName"], value, moment)
