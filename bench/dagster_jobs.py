"""Jobs for the comparison with DataHub's Dagster plugin, beside its documented shapes in ``examples/from_datahub_plugin``.

They are what pipelines have beyond two ops in a row: a graph, mapped ops, an op that fails, assets in several files' worth of
groups, an observation. ``openlineage_bridge_dagster.datahub`` may be the plugin's own classes under that name.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagster import (
    AssetKey,
    AssetObservation,
    Config,
    Definitions,
    DynamicOut,
    DynamicOutput,
    In,
    MaterializeResult,
    Out,
    Output,
    asset,
    define_asset_job,
    graph,
    job,
    op,
)

from openlineage_bridge_dagster.datahub import (
    DatahubClientConfig,
    DatahubDagsterSourceConfig,
    DatasetUrn,
    make_datahub_sensor,
)

RAW = DatasetUrn("postgres", "shop.public.orders").urn()
CLEAN = DatasetUrn("postgres", "shop.public.clean_orders").urn()
MARTS = ["prod", "postgres", "shop", "marts"]


class Fails(Config):
    """Whether the op fails."""

    fails: bool = True


@op(out=Out(metadata={"datahub.outputs": [RAW]}))
def load() -> list[int]:
    """Orders."""
    return [3, 1, 2]


@op(ins={"orders": In(metadata={"datahub.inputs": [RAW]})}, out=Out(metadata={"datahub.outputs": [CLEAN]}))
def clean(orders: list[int]) -> list[int]:
    """Orders in order."""
    return sorted(orders)


@job
def straight() -> None:
    """Two ops in a row."""
    clean(load())


@graph
def cleaning(orders: list[int]) -> list[int]:
    """A graph around one op."""
    return clean(orders)


@job
def nested() -> None:
    """An op inside a graph."""
    cleaning(load())


@op(out=DynamicOut())
def pieces() -> Iterator[DynamicOutput[int]]:
    """Some pieces."""
    for number in range(3):
        yield DynamicOutput(number, mapping_key=str(number))


@op
def work(piece: int) -> int:
    """Work on one."""
    return piece + 1


@op
def collect(found: list[int]) -> int:
    """All of them."""
    return sum(found)


@job
def mapped() -> None:
    """One op for each of several pieces."""
    collect(pieces().map(work).collect())


@op
def breaks(orders: list[int]) -> None:
    """Fails."""
    raise ValueError(orders)


@op(ins={"nothing": In(metadata={"datahub.inputs": [CLEAN]})})
def after(nothing: None) -> None:
    """Never runs."""


@job
def failing() -> None:
    """Two ops, of which the first fails."""
    after(breaks(load()))


@asset(key_prefix=MARTS, group_name="marts")
def totals() -> MaterializeResult[None]:
    """Built by a statement."""
    return MaterializeResult(
        metadata={"Query": "create table shop.marts.totals as select a, b from shop.public.clean_orders"}
    )


@asset(key_prefix=MARTS, group_name="reports", deps=[totals])
def report() -> int:
    """From the totals."""
    return 1


@op
def watches() -> Iterator[AssetObservation | Output[None]]:
    """Looks at a table."""
    yield AssetObservation(AssetKey([*MARTS, "totals"]), metadata={"rows": 3})
    yield Output(None)


@job
def watching() -> None:
    """Observes an asset."""
    watches()


config = DatahubDagsterSourceConfig(
    datahub_client_config=DatahubClientConfig(server="http://localhost:8080"),
    connect_ops_to_ops=True,
)
defs = Definitions(
    assets=[totals, report],
    jobs=[straight, nested, mapped, failing, watching, define_asset_job("marts")],
    sensors=[make_datahub_sensor(config=config)],
)
