"""Asset checks as facets: ``dataQualityAssertions`` of the dataset that was checked, ``test`` of the run that checked it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from openlineage.client.event_v2 import InputDataset
from openlineage.client.facet_v2 import RunFacet, data_quality_assertions_dataset, test_run

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation, ExpectationResult  # the first is exported since 1.11

    from openlineage_bridge_capture import Dataset

COLUMN_KEYS = ("dagster/column", "column")
"""Metadata of a check that names the column it is about."""


def assertions(checks: Sequence[AssetCheckEvaluation]) -> Any:
    """``dataQualityAssertions`` of the checks of one asset, for an input, an output or the dataset itself."""
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[_assertion(check) for check in checks]
    )


def checked(dataset: Dataset, checks: Sequence[AssetCheckEvaluation]) -> InputDataset:
    """A dataset that a check step read, with the outcome."""
    return InputDataset(
        dataset.namespace, dataset.name, inputFacets={"dataQualityAssertions": assertions(checks)}
    )


def outcomes(
    checks: Iterable[AssetCheckEvaluation], expectations: Iterable[ExpectationResult] = ()
) -> dict[str, RunFacet]:
    """``test`` of a step, over all that it checked and expected; none when that is nothing (TestRunFacet 1-0-1)."""
    executions = [*map(_execution, checks), *map(_expectation, expectations)]
    return {"test": test_run.TestRunFacet(tests=executions)} if executions else {}


def _assertion(check: AssetCheckEvaluation) -> data_quality_assertions_dataset.Assertion:
    return data_quality_assertions_dataset.Assertion(
        assertion=check.check_name,
        name=check.check_name,
        success=bool(check.passed),
        severity=check.severity.value.lower(),
        column=_column(check),
        description=check.description,
    )


def _execution(check: AssetCheckEvaluation) -> test_run.TestExecution:
    params = {
        "asset": "/".join(check.asset_key.path),
        "column": _column(check),
        "blocking": getattr(check, "blocking", None),  # since 1.11
        "partition": getattr(check, "partition", None),  # since 1.12
    }
    return test_run.TestExecution(
        name=check.check_name,
        status="pass" if check.passed else "fail",
        severity=check.severity.value.lower(),
        description=check.description,
        params={key: value for key, value in params.items() if value is not None},
    )


def _expectation(result: ExpectationResult) -> test_run.TestExecution:
    return test_run.TestExecution(
        name=result.label or "expectation",
        status="pass" if result.success else "fail",
        description=result.description,
    )


def _column(check: AssetCheckEvaluation) -> str | None:
    found = next((check.metadata[key] for key in COLUMN_KEYS if key in check.metadata), None)
    value = getattr(found, "value", None)
    return value if isinstance(value, str) else None
