"""Code written for DataHub's Dagster plugin goes on working with the import changed, and keeps its names."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from dagster import (
    AssetCheckResult,
    AssetMaterialization,
    AssetOut,
    Definitions,
    FilesystemIOManager,
    In,
    MetadataValue,
    Out,
    Output,
    asset,
    asset_check,
    build_sensor_context,
    graph,
    job,
    materialize,
    multi_asset,
    op,
)

from openlineage_bridge_dagster.datahub import (
    DatahubClientConfig,
    DatahubDagsterSourceConfig,
    DataHubGraph,
    DatasetLineage,
    DatasetUrn,
    make_datahub_sensor,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "from_datahub_plugin"


def urn(name, platform="snowflake", env="PROD"):
    """A dataset as events name it that is known by its URN."""
    return f"datahub:urn:li:dataset:(urn:li:dataPlatform:{platform},{name},{env})"


def example(name):
    spec = importlib.util.spec_from_file_location(f"migration_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def told(instance, backend, story):
    """What the plugin's sensor, ours inside, tells of the run that ``run`` brings about."""

    def tell(run, settings=None, definitions=None):
        sensor = make_datahub_sensor(settings or DatahubDagsterSourceConfig(), send=backend)
        cursor = None
        for work in (lambda: None, run):
            work()
            with build_sensor_context(instance=instance, cursor=cursor, definitions=definitions) as context:
                sensor(context)
                cursor = context.cursor
        return story(
            [
                event
                for event in map(json.loads, backend.lines())
                if event.get("eventType") in {"COMPLETE", "OTHER", "FAIL"}
            ]
        )

    return tell


# --- the plugin's own shapes of jobs -----------------------------------------------------------------------------------


def test_ops_with_inputs_and_outputs_as_metadata(instance, told):
    """Both count; the plugin leaves the outputs out unless ``connect_ops_to_ops`` is set."""
    ops = example("ops")

    lines = told(lambda: ops.daily_totals.execute_in_process(instance=instance), ops.config, ops.defs)

    assert [
        "COMPLETE prod/daily_totals.prod/fetch",
        f"COMPLETE prod/daily_totals.prod/total: {urn('shop.raw.orders')} -> {urn('shop.marts.totals')}",
        "COMPLETE prod/daily_totals",
    ] == lines


def test_assets_named_by_the_key_convention_with_a_query_and_a_stated_input(instance, told):
    """An asset stands as a dataset of its own beside its table, as the plugin has it, so that its page goes on."""
    assets = example("assets")
    nightly = assets.defs.get_repository_def().get_job("nightly")
    step = "prod/nightly.prod/prod__snowflake__shop__marts__revenue"
    table, asset = "snowflake:shop.marts.revenue", "dagster:prod/snowflake/shop/marts/revenue"

    lines = told(lambda: nightly.execute_in_process(instance=instance), assets.config, assets.defs)

    assert [
        "COMPLETE prod/nightly.prod/orders:  -> dagster:orders",
        f"COMPLETE {step}: dagster:orders, {urn('shop.raw.fx')} -> {table}, {asset}",
        f"COMPLETE {step}_by_country: {table}, {asset}, {table}_by_order -> {table}_by_country, {asset}_by_country",
        "COMPLETE prod/nightly",
    ] == lines


def test_an_extractor_adds_to_the_steps_of_a_run_that_has_ended(instance, told):
    extractor = example("extractor")

    lines = told(
        lambda: extractor.publishing.execute_in_process(instance=instance), extractor.config, extractor.defs
    )

    asset = "dagster:prod/snowflake/shop/marts/published"
    assert [
        f"COMPLETE prod/publishing.prod/publish:  -> snowflake:shop.marts.published, {asset}",
        f"OTHER prod/publishing.prod/publish: {urn('shop.raw.staging')} -> {asset}",
        "COMPLETE prod/publishing",
    ] == lines


# --- names -------------------------------------------------------------------------------------------------------------


def test_ops_have_the_names_of_their_definitions(instance, told):
    """As the plugin's: an alias and the graph around it are not in them."""

    @op
    def work():
        return 1

    @graph
    def inner():
        work.alias("hard_work")()

    @job
    def nested():
        inner()

    lines = told(lambda: nested.execute_in_process(instance=instance))

    assert ["COMPLETE prod/nested.prod/work", "COMPLETE prod/nested"] == lines


# --- settings ----------------------------------------------------------------------------------------------------------


@asset(key_prefix=["prod", "snowflake", "shop"])
def table():
    return 1


@pytest.mark.parametrize(
    ("settings", "outputs"),
    [
        ({}, "snowflake:shop.table, dagster:prod/snowflake/shop/table"),
        ({"emit_assets": False}, "snowflake:shop.table"),
        ({"capture_asset_materialization": False}, ""),
        ({"asset_keys_to_dataset_urn_converter": lambda key: DatasetUrn("hive", key[-1])}, f"{urn('table', 'hive')}, dagster:prod/snowflake/shop/table"),
    ],
)  # fmt: skip
def test_which_assets_are_datasets(instance, told, settings, outputs):
    config = DatahubDagsterSourceConfig(**settings)
    lines = told(lambda: materialize([table], instance=instance), config)
    job_name = "COMPLETE prod/__ephemeral_asset_job__.prod/prod__snowflake__shop__table"

    assert (f"{job_name}:  -> {outputs}" if outputs else job_name) == lines[0]


def test_a_check_reads_the_asset_beside_its_table(instance, told):
    """As the plugin says it: whoever follows the asset finds its checks."""

    @asset_check(asset=table)
    def fits():
        return AssetCheckResult(passed=True)

    lines = told(lambda: materialize([table, fits], instance=instance))

    name = "prod/__ephemeral_asset_job__.prod/prod__snowflake__shop__table_fits"
    assert f"COMPLETE {name}: snowflake:shop.table, dagster:prod/snowflake/shop/table -> " in lines


@pytest.mark.parametrize("wanted", [True, False])
def test_paths_of_inputs_and_outputs_count_on_request(instance, told, tmp_path, wanted):
    """The file-system IO manager's, too: a new one for every run, which is why they do not by default."""

    @op(out=Out(io_manager_key="files"))
    def write():
        return 1

    @job(resource_defs={"files": FilesystemIOManager(base_dir=str(tmp_path))})
    def writing():
        write()

    config = DatahubDagsterSourceConfig(capture_input_output=wanted)
    lines = told(lambda: writing.execute_in_process(instance=instance), config)
    pickled = [line for line in lines if "file:/" in line and line.endswith("/write/result")]

    assert wanted == bool(pickled)


@pytest.mark.parametrize(("parses", "inputs"), [(True, "snowflake:shop.src"), (False, "")])
def test_a_query_counts_unless_it_is_switched_off(instance, told, parses, inputs):
    @asset(key_prefix=["prod", "snowflake", "shop"])
    def built(context):
        context.add_output_metadata({"Query": "insert into shop.built select * from shop.src"})

    config = DatahubDagsterSourceConfig(enable_asset_query_metadata_parsing=parses, emit_assets=False)
    lines = told(lambda: materialize([built], instance=instance), config)

    assert (
        f"COMPLETE prod/__ephemeral_asset_job__.prod/prod__snowflake__shop__built: {inputs} -> snowflake:shop.built"
        == lines[0]
    )


def test_metadata_datahub_urn_names_the_table(instance, told):
    """What the plugin's Snowflake IO manager adds to a materialization."""

    @asset
    def stored(context):
        context.add_output_metadata(
            {"datahub_urn": "urn:li:dataset:(urn:li:dataPlatform:snowflake,shop.stored,QA)"}
        )

    lines = told(lambda: materialize([stored], instance=instance))

    assert (
        f"COMPLETE prod/__ephemeral_asset_job__.prod/stored:  -> {urn('shop.stored', env='QA')}, dagster:stored"
        == lines[0]
    )


def test_outputs_stated_on_a_multi_asset(instance, told):
    """They are metadata of the asset, which its definition tells; the plugin does not see them."""

    @multi_asset(outs={"made": AssetOut(metadata={"datahub.outputs": [DatasetUrn("snowflake", "d").urn()]})})
    def making():
        return Output(1)

    definitions = Definitions(assets=[making])
    lines = told(lambda: materialize([making], instance=instance), definitions=definitions)

    assert f"COMPLETE prod/__ephemeral_asset_job__.prod/making:  -> dagster:made, {urn('d')}" == lines[0]


def test_a_step_that_fails_tells_what_it_would_have_read_and_written(instance, told):
    @op(ins={"it": In(metadata={"datahub.inputs": [DatasetUrn("kafka", "orders").urn()]})})
    def fails(it):
        raise ValueError(it)

    @op
    def first():
        return 1

    @job
    def failing():
        fails(first())

    lines = told(lambda: failing.execute_in_process(instance=instance, raise_on_error=False))

    assert f"FAIL prod/failing.prod/fails: {urn('orders', 'kafka')} -> " == lines[1]


def test_settings_that_the_plugin_does_not_have_are_refused():
    with pytest.raises(ValueError, match="capture_everything"):
        DatahubDagsterSourceConfig(capture_everything=True)


# --- extractors --------------------------------------------------------------------------------------------------------


@op
def publish(context):
    context.log_event(AssetMaterialization(["prod", "snowflake", "shop", "t"]))


@job
def publishing():
    publish()


def test_an_extractor_that_fails_costs_its_own_part_only(instance, told, caplog):
    """The plugin loses the run."""

    def fails(*_):
        raise LookupError("no such table")

    config = DatahubDagsterSourceConfig(asset_lineage_extractor=fails, emit_assets=False)
    lines = told(lambda: publishing.execute_in_process(instance=instance), config)

    assert [
        "COMPLETE prod/publishing.prod/publish:  -> snowflake:shop.t",
        "COMPLETE prod/publishing",
    ] == lines
    assert "no such table" in caplog.text


def test_the_generator_names_emits_nothing_and_keeps_edges(instance, told):
    """``emit_asset`` with upstreams is lineage of the step that wrote the asset, paths included."""

    def extractor(context, generator, graph):
        up = {generator.asset_keys_to_dataset_urn_converter(["dev", "hive", "lake", "raw"])}
        generator.emit_asset(graph, ["unrelated"], None, {}, upstreams={DatasetUrn("hive", "no.one")})
        written = generator.emit_asset(graph, ["prod", "snowflake", "shop", "t"], None, {}, upstreams=up)
        path = generator.metadata_resolver(MetadataValue.path("s3a://lake/raw.parquet"))
        assert generator.metadata_resolver(MetadataValue.text("s3://lake/raw.parquet")) is None
        assert context.dagster_run.job_name == "publishing"
        return {"publish": DatasetLineage({path}, {written}), "never_ran": DatasetLineage({path}, set())}

    config = DatahubDagsterSourceConfig(asset_lineage_extractor=extractor, emit_assets=False)
    lines = told(lambda: publishing.execute_in_process(instance=instance), config)

    assert (
        f"OTHER prod/publishing.prod/publish: {urn('lake.raw', 'hive', 'DEV')}, s3://lake:raw.parquet"
        " -> snowflake:shop.t"
    ) == lines[1]


def test_an_extractor_may_ask_datahub_where_its_package_is_installed():
    """Only then is acryl-datahub imported: nothing of ours needs it."""
    graph = DataHubGraph(DatahubClientConfig(server="http://127.0.0.1:9", token="t"))

    assert graph.config.server == "http://127.0.0.1:9"
    assert not hasattr(graph, "__no_such_protocol__")


# --- which runs --------------------------------------------------------------------------------------------------------


def test_unmonitored_runs_are_left_alone(instance, backend):
    """And a sensor is made with the plugin's name, status and interval."""
    sensor = make_datahub_sensor(DatahubDagsterSourceConfig(), monitored_jobs=[publishing], send=backend)

    @job
    def other():
        publish()

    for run in (other, publishing):
        run.execute_in_process(instance=instance)
    with build_sensor_context(instance=instance) as context:
        sensor(context)

    assert {"prod/publishing", "prod/publishing.prod/publish"} == {event.job.name for event in backend.events}
    assert ("datahub_sensor", "STOPPED") == (sensor.name, sensor.default_status.value)
