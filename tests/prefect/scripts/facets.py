"""One flow with something of everything that a facet carries; its children print their environment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from prefect import flow, tags, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import INPUTS, TASK_SOURCE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate

from openlineage_bridge_prefect import parent_environment

PRINT = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('OPENLINEAGE_')}))"


@task(
    name="described",
    tags={"finance", "owner:team:data"},
    retries=2,
    retry_delay_seconds=[0.1, 0.2],
    timeout_seconds=30,
    cache_policy=INPUTS + TASK_SOURCE,
    persist_result=True,
)
def described(number: int, api_key: str = "t0p-secret") -> int:
    """Says all that a task can say."""
    create_markdown_artifact("# Report", key="report", description="See postgres://ann:hunter2@db/shop")
    create_table_artifact(
        [{"database_uri": "postgres://db.acme.io/shop", "table": "public.orders"}],
        key="orders",
        description="ol-dataset_input",
    )
    create_table_artifact(
        [{"database_uri": "duckdb:///customers_db", "table": "customers"}, {"table": "of nothing"}],
        key="customers",
        description="ol-dataset_output",
    )
    return number


@task
def starts_children() -> dict[str, dict[str, str]]:
    return {
        "popen": json.loads(subprocess.check_output([sys.executable, "-c", PRINT])),
        "own": json.loads(
            subprocess.check_output(
                [sys.executable, "-c", PRINT], env={"OPENLINEAGE_PARENT_ID": "mine/job/of-another"}
            )
        ),
        "explicit": parent_environment(),
    }


@task
async def starts_a_child_asynchronously() -> dict[str, str]:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", PRINT, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    return json.loads(output)


@task
async def creates_asynchronously() -> None:
    async with get_client() as client:
        await client.create_artifact(ArtifactCreate(key="unattributed", type="text", data="of no run"))


@flow(name="described flow", description="Says all that a flow can say.", version="7", timeout_seconds=60)
def described_flow(number: int = 1) -> None:
    described(number)
    described(number)
    create_link_artifact("https://acme.io", key="link")
    found = starts_children()
    found["asyncio"] = asyncio.run(starts_a_child_asynchronously())
    asyncio.run(creates_asynchronously())
    sys.stdout.write(json.dumps(found))


def main() -> None:
    assert parent_environment() == {}
    with tags("owner:ann"):
        described_flow()


if __name__ == "__main__":
    main()
