"""A flow, and, run as a script, its deployment with a flow run to be executed; prints the ids of both."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Scheduled

POOL = "facets"


@flow(name="deployed flow")
def deployed_flow(number: int = 1) -> int:
    return number


def main() -> None:
    here = Path(__file__)
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"), overwrite=True)
        deployment = client.create_deployment(
            client.create_flow(deployed_flow),
            name="nightly",
            version="3.1",
            description="Every night.",
            path=str(here.parent),
            entrypoint=f"{here.name}:deployed_flow",
            tags=["owner:bob", "finance"],
            work_pool_name=POOL,
            job_variables={"env": {"DB_PASSWORD": "hunter2"}},
            concurrency_limit=4,
            schedules=[
                DeploymentScheduleCreate(
                    schedule=CronSchedule(cron="0 3 * * *", timezone="Europe/Berlin"), active=False
                )
            ],
        )
        flow_run = client.create_flow_run_from_deployment(deployment, state=Scheduled())
    sys.stdout.write(json.dumps({"deployment": str(deployment), "flow_run": str(flow_run.id)}))


if __name__ == "__main__":
    main()
