"""A code location that holds one case of everything that Dagster can do to a run; what OpenLineage says is in golden.txt."""

from __future__ import annotations

import os
import time

import duckdb
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetSelection,
    AssetSpec,
    BackfillPolicy,
    DailyPartitionsDefinition,
    DataVersion,
    Definitions,
    DynamicOut,
    DynamicOutput,
    In,
    MaterializeResult,
    MultiPartitionsDefinition,
    Nothing,
    Out,
    Output,
    ResourceDefinition,
    RetryPolicy,
    RetryRequested,
    StaticPartitionsDefinition,
    TableColumn,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
    asset,
    asset_check,
    define_asset_job,
    graph,
    in_process_executor,
    job,
    multi_asset,
    multiprocess_executor,
    observable_source_asset,
    op,
)

from openlineage_bridge_dagster import openlineage_sensor

try:
    from dagster import AssetCheckEvaluation
except ImportError:  # exported since 1.11
    from dagster._core.definitions.asset_check_evaluation import AssetCheckEvaluation

SHOP = ["prod", "duckdb", "shop", "main"]
RAW_ORDERS, ORDERS = AssetKey([*SHOP, "raw_orders"]), AssetKey([*SHOP, "orders"])

# A night: assets that feed each other, several assets of one step, checks of every kind.


@asset(key=RAW_ORDERS, description="Orders as they came.")
def raw_orders():
    columns = [TableColumn("id", "int"), TableColumn("amount", "int")]
    return MaterializeResult(
        metadata={"dagster/row_count": 3, "dagster/column_schema": TableSchema(columns=columns)}
    )


@asset(
    key=ORDERS,
    deps=[RAW_ORDERS],
    owners=["team:data"],
    check_specs=[AssetCheckSpec("inline", asset=ORDERS)],
)
def orders():
    lineage = TableColumnLineage({"amount": [TableColumnDep(RAW_ORDERS, "amount")]})
    return MaterializeResult(
        metadata={"dagster/column_lineage": lineage},
        check_results=[AssetCheckResult(check_name="inline", passed=True)],
    )


@multi_asset(specs=[AssetSpec("customers", deps=[ORDERS]), AssetSpec("addresses", deps=["customers"])])
def people():
    yield MaterializeResult(asset_key="customers")
    yield MaterializeResult(asset_key="addresses")


@asset_check(asset=ORDERS)
def passes():
    return AssetCheckResult(passed=True)


@asset_check(asset=ORDERS)
def warns():
    return AssetCheckResult(
        passed=False, severity=AssetCheckSeverity.WARN, metadata={"dagster/column": "amount"}
    )


@asset
def gate():
    pass


@asset_check(asset=gate, blocking=True)
def blocks():
    return AssetCheckResult(passed=False)


@asset(deps=[gate])
def behind_gate():
    pass


@asset
def fragile():
    pass


@asset_check(asset=fragile)
def raises():
    raise RuntimeError("this check cannot be made")


@observable_source_asset
def feed():
    return DataVersion("7")


@asset
def fleeting():
    pass


# Partitions.

DAYS = DailyPartitionsDefinition("2026-11-01", end_date="2026-11-10")


@asset(
    partitions_def=DAYS,
    metadata={"dagster/storage_kind": "duckdb", "dagster/table_name": "shop.main.daily"},
)
def daily():
    return MaterializeResult(metadata={"dagster/partition_row_count": 2})


@asset(partitions_def=DAYS, backfill_policy=BackfillPolicy.single_run())
def ranged():
    return MaterializeResult(metadata={"dagster/partition_row_count": 2})


@asset(
    partitions_def=MultiPartitionsDefinition(
        {"date": DAYS, "region": StaticPartitionsDefinition(["eu", "us"])}
    )
)
def grid():
    pass


# Steps that are tried again, mapped, nested, skipped, and never reached.


@op(retry_policy=RetryPolicy(max_retries=1, delay=0))
def flaky(context):
    if context.retry_number == 0:
        raise ValueError("once more")


@op
def insists():
    raise RetryRequested(max_retries=1, seconds_to_wait=0)


@op(ins={"before": In(Nothing)})
def never():
    pass


@job
def attempts():
    flaky()
    never(insists())


@op(out=DynamicOut())
def fans_out():
    yield from (DynamicOutput(number, mapping_key=f"k{number}") for number in range(2))


@op
def work(number):
    return number


@graph
def inner(number):
    return work(number)


@op
def collects(numbers):
    pass


@op(out={"taken": Out(is_required=False), "left_out": Out(is_required=False)})
def branches():
    yield Output(1, "taken")


@job
def shapes():
    collects(fans_out().map(inner).collect())
    taken, left_out = branches()
    work.alias("on_the_way")(taken)
    work.alias("beyond")(work.alias("off_the_way")(left_out))


# Runs that end in every other way.


@op
def waits():
    while True:
        time.sleep(0.05)


@job
def waiting():
    waits()


@job(tags={"hold": "yes"})
def held():
    waits()


@op
def dies():
    os._exit(7)


@job
def crashing():
    dies()


def _unavailable(_context):
    raise RuntimeError("no such warehouse")


BROKEN = ResourceDefinition(_unavailable)


@op(required_resource_keys={"warehouse"})
def needs_warehouse():
    pass


@job(resource_defs={"warehouse": BROKEN})
def unequipped():
    needs_warehouse()


@job(resource_defs={"warehouse": BROKEN}, executor_def=multiprocess_executor)
def unequipped_steps():
    needs_warehouse()
    dies()


@op(out=Out(Nothing))
def prepares():
    pass


@op(ins={"before": In(Nothing)})
def second_time(context):
    if context.run.parent_run_id is None:
        raise RuntimeError("the first time it fails")


@job
def again():
    second_time(prepares())


# What code says by itself, inside and outside of its run.


@op
def logs(context):
    context.log_event(AssetObservation("seen"))
    context.log_event(AssetMaterialization("made"))
    with duckdb.connect(os.environ["SHOP_FILE"]) as connection:
        connection.execute("CREATE OR REPLACE TABLE total AS SELECT 10 AS amount")


@op(ins={"before": In(Nothing)})
def reports(context):
    tell = context.instance.report_runless_asset_event
    tell(AssetMaterialization("told", metadata={"dagster/row_count": 1}))
    tell(AssetObservation("told"))
    tell(AssetCheckEvaluation(AssetKey("told"), "said", passed=True, metadata={}))


@job
def telling():
    reports(logs())


nightly = define_asset_job("nightly", AssetSelection.assets(RAW_ORDERS, ORDERS, "customers", "addresses"))
gating = define_asset_job("gating", AssetSelection.assets(gate, behind_gate))
checking = define_asset_job("checking", AssetSelection.checks(raises))
observing = define_asset_job("observing", AssetSelection.assets("feed"))

defs = Definitions(
    assets=[
        raw_orders,
        orders,
        people,
        gate,
        behind_gate,
        fragile,
        feed,
        fleeting,
        daily,
        ranged,
        grid,
    ],
    asset_checks=[passes, warns, blocks, raises],
    jobs=[
        nightly,
        gating,
        checking,
        observing,
        attempts,
        shapes,
        waiting,
        held,
        crashing,
        unequipped,
        unequipped_steps,
        again,
        telling,
    ],
    sensors=[openlineage_sensor(backfill="all")],
    executor=in_process_executor,
)
