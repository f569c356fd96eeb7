"""The example of prefect-datahub with the imports changed, nothing else: a saved block, add_task, emit_flow."""

from __future__ import annotations

import contextlib

from prefect import flow, task

from openlineage_bridge_prefect.datahub import DatahubEmitter, Dataset, Urn

DatahubEmitter(env="DEV", platform_instance="eu", datahub_rest_url="http://127.0.0.1:9").save(
    "datahub-emitter-test", overwrite=True
)
datahub_emitter_block = DatahubEmitter.load("datahub-emitter-test")


@task(name="Extract", description="Extract the data")
def extract() -> str:
    return "This is data"


@task(name="Transform", description="Transform the data")
def transform(data: str, datahub_emitter: DatahubEmitter) -> tuple[list[str], DatahubEmitter]:
    datahub_emitter.add_task(
        inputs=[
            Dataset(
                platform="snowflake",
                name="mydb.schema.tableA",
                env=datahub_emitter.env,
                platform_instance=datahub_emitter.platform_instance,
            )
        ],
        outputs=[Urn("urn:li:dataset:(urn:li:dataPlatform:snowflake,eu.mydb.schema.tableB,DEV)")],
    )
    return data.split(" "), datahub_emitter


@task
def fails(datahub_emitter: DatahubEmitter) -> None:
    datahub_emitter.add_task(inputs=[Dataset("kafka", "orders")])
    raise RuntimeError("after add_task")


@flow(name="ETL", description="Extract transform load flow")
def etl() -> None:
    data = extract()
    _words, emitter = transform(data, datahub_emitter_block)
    fails(emitter)
    emitter.emit_flow()


with contextlib.suppress(RuntimeError):
    etl()
