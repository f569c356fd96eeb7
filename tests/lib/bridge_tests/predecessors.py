"""URNs of flows and jobs, and the plugins before us that wrote them, as the tests of migration name them."""

from __future__ import annotations

SHOP = "urn:li:dataFlow:(prefect,shop,PROD)"
PREFECT, DAGSTER = "prefect-datahub", "acryl-datahub-dagster-plugin"


def job(flow: str, job_id: str) -> str:
    return f"urn:li:dataJob:({flow},{job_id})"


def flow(flow_id: str, orchestrator: str = "dagster", env: str = "PROD") -> str:
    return f"urn:li:dataFlow:({orchestrator},{flow_id},{env})"
