"""Named cases of what the bridge concludes from several events."""

from __future__ import annotations

import pytest

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store.quarantine import quarantined

RUN = "run:00000000-0000-4000-8000-00000000000"


def names(uses) -> list[str]:
    return [urn.rpartition("/")[2] for urn, _ in uses]


# --- the events of one run ------------------------------------------------------------------------------------------


def test_inputs_of_start_and_outputs_of_complete_are_one_lineage(bridge, world):
    """The events of a run are cumulative: START tells what is read, COMPLETE what was written."""
    bridge.hear(world.run_event(event_type="START", inputs=["a"]), world.run_event(second=1, outputs=["b"]))

    assert {("flow", "input", "a"), ("flow", "output", "b")} == bridge.edges()


def test_complete_before_start(bridge, world):
    """A START that arrives late adds what it says and does not reopen the run."""
    bridge.hear(world.run_event(second=5, outputs=["b"]))
    bridge.hear(world.run_event(second=1, event_type="START", inputs=["a"]))
    [(started, ended, result)] = bridge.rows("SELECT started, ended, result FROM runs")

    assert (4_000_000, "COMPLETE") == (ended - started, result)
    assert {("flow", "input", "a"), ("flow", "output", "b")} == bridge.edges()


@pytest.mark.parametrize("second", [1, 9])
def test_running_after_the_end(bridge, world, second):
    """Terminal is final: a RUNNING that arrives, or even happened, later adds facts but no state."""
    bridge.hear(world.run_event(second=5, inputs=["a"]))
    bridge.hear(world.run_event(second=second, event_type="RUNNING", outputs=["b"]))

    assert bridge.holds()[RUN + "0", "was"]["result"] == "COMPLETE"
    assert {("flow", "input", "a"), ("flow", "output", "b")} == bridge.edges()


def test_empty_fail_erases_nothing(bridge, world):
    """A FAIL without datasets leaves the job's lineage and the run's as they were."""
    bridge.hear(world.run_event(run=0, second=1, inputs=["a"], outputs=["b"]))
    bridge.hear(world.run_event(run=1, second=2, event_type="START", inputs=["x"]))
    bridge.hear(world.run_event(run=1, second=3, event_type="FAIL"))

    assert {("flow", "input", "a"), ("flow", "output", "b")} == bridge.edges()
    assert names(bridge.holds()[RUN + "1", "was"]["inputs"]) == ["x"]


def test_lineage_shows_while_the_first_run_runs(bridge, world):
    """A job with no completed run shows what its latest run has said so far."""
    bridge.hear(world.run_event(event_type="START", inputs=["a"]))

    assert {("flow", "input", "a")} == bridge.edges()


# --- the runs of one job --------------------------------------------------------------------------------------------


def test_last_years_file_never_turns_the_job_back(bridge, world):
    """A newer run stands, whenever older events arrive."""
    bridge.hear(
        world.run_event(run=2, second=100, inputs=["new"], job_facets={"documentation": {"description": "n"}})
    )
    before = bridge.holds()
    bridge.hear(
        world.run_event(run=0, second=1, inputs=["old"], job_facets={"documentation": {"description": "o"}})
    )

    assert {("flow", "input", "new")} == bridge.edges()
    assert before["job:/ns/flow", "does"] == bridge.holds()["job:/ns/flow", "does"]


def test_an_edge_no_longer_used_disappears(bridge, world):
    """What a job reads and writes is what its latest completed run did."""
    bridge.hear(world.run_event(run=0, second=1, inputs=["a", "b"], outputs=["c"]))
    bridge.hear(world.run_event(run=1, second=2, inputs=["a"], outputs=["c"]))

    assert {("flow", "input", "a"), ("flow", "output", "c")} == bridge.edges()
    assert ["a"] == names(bridge.holds()["job:/ns/flow", "does"]["inputs"])


def test_window_unites_the_last_completed_runs(bridge, world, plain):
    """``lineage_window: 2`` keeps what either of the last two runs read."""
    bridge.pipeline = Pipeline(bridge.store, plain.PlainTranslator(), window=2)
    for run, dataset in enumerate(["a", "b", "c"]):
        bridge.hear(world.run_event(run=run, second=run, inputs=[dataset]))

    assert {("flow", "input", "b"), ("flow", "input", "c")} == bridge.edges()


def test_hundredth_repetition_claims_only_run_aspects(bridge, world):
    """A run of a known job with unchanged facets brings its own aspects to the outbox and nothing else."""
    schema = {"schema": {"fields": [{"name": "c"}]}}

    def run(number):
        return world.run_event(
            run=number,
            second=number,
            inputs=[{"namespace": "db://h", "name": "a", "facets": schema}],
            outputs=["b"],
            job_facets={"documentation": {"description": "x"}},
        )

    bridge.hear(*map(run, range(3, 103)))
    due = bridge.store.aspects.due(10_000)
    with bridge.store.transaction():
        bridge.store.aspects.delivered(due)
    bridge.hear(run(103))

    assert {("run:00000000-0000-4000-8000-000000000103", name) for name in ("was", "at")} == {
        (urn, name) for urn, name in bridge.rows("SELECT urn, name FROM outbox")
    }


def test_job_event_stands_until_a_newer_completed_run(bridge, world):
    """A declaration speaks for its job; a run that ended later takes over, and an older one does not."""
    bridge.hear(world.job_event(second=5, inputs=["declared"]))
    bridge.hear(world.run_event(run=0, second=4, inputs=["older"]))
    assert {("flow", "input", "declared")} == bridge.edges()

    bridge.hear(world.run_event(run=1, second=6, event_type="START", inputs=["unfinished"]))
    assert {("flow", "input", "declared")} == bridge.edges()

    bridge.hear(world.run_event(run=1, second=7))
    assert {("flow", "input", "unfinished")} == bridge.edges()


def test_job_events_replace(bridge, world):
    """A newer declaration replaces an older one, it does not add to it."""
    bridge.hear(
        world.job_event(second=5, inputs=["a", "b"], outputs=["c"]), world.job_event(second=6, inputs=["a"])
    )

    assert {("flow", "input", "a")} == bridge.edges()


# --- datasets -------------------------------------------------------------------------------------------------------


def symlink(name: str, target: str) -> dict:
    identifiers = [{"namespace": "db://h", "name": target, "type": "TABLE"}]
    return {"namespace": "db://h", "name": name, "facets": {"symlinks": {"identifiers": identifiers}}}


def test_dataset_renamed_by_a_late_symlink(bridge, world):
    """The old entity is withdrawn, and the edges of jobs and runs follow to the new one."""
    bridge.hear(world.run_event(inputs=["path"], outputs=["b"]))
    bridge.hear(world.dataset_event(symlink("path", "table"), second=3))
    held = bridge.holds()

    assert ("dataset:db://h/path", "is") not in held
    assert ("dataset:db://h/table", "is") in held
    assert ["table"] == names(held["job:/ns/flow", "does"]["inputs"])
    assert ["table"] == names(held[RUN + "0", "was"]["inputs"])


def test_dataset_keeps_its_name_when_the_symlink_goes(bridge, world):
    """A removed symlink brings the dataset's own name back."""
    bridge.hear(world.run_event(inputs=[symlink("path", "table")]))
    gone = {"namespace": "db://h", "name": "path", "facets": {"symlinks": {"_deleted": True}}}
    bridge.hear(world.dataset_event(gone, second=3))

    assert ["path"] == names(bridge.holds()["job:/ns/flow", "does"]["inputs"])


def test_two_namespaces_for_one_table_are_one_entity(bridge, world):
    """Per facet the newest word holds, whichever of its names it was said about."""

    def table(scheme, description):
        facets = {"documentation": {"description": description}, scheme: {"by": description}}
        return {"namespace": f"{scheme}://h", "name": "a", "facets": facets}

    bridge.hear(world.dataset_event(table("postgresql", "newer"), second=2))
    bridge.hear(world.dataset_event(table("postgres", "older"), second=1))
    only = bridge.holds()["dataset:postgres://h/a", "is"]

    assert {
        "documentation": {"description": "newer"},
        "postgres": {"by": "older"},
        "postgresql": {"by": "newer"},
    } == only

    bridge.hear(
        world.dataset_event(table("postgres", "older"), second=9)
    )  # nothing new but that it still holds
    assert {"description": "older"} == bridge.holds()["dataset:postgres://h/a", "is"]["documentation"]


def measured(rows: int) -> dict:
    return {"namespace": "db://h", "name": "a", "facets": {"dataQualityMetrics": {"rowCount": rows}}}


def test_a_measurement_of_a_dataset_event_has_its_moment(bridge, world, plain):
    """The translator is told when it was made, also where the same is measured again; its marks are no facets."""

    class Timed(plain.PlainTranslator):
        asked: list = []  # noqa: RUF012 - of this test alone

        def dataset(self, dataset):
            self.asked.append((dict(dataset.times), sorted(dataset.facets)))
            return super().dataset(dataset)

    translator = Timed()
    bridge.pipeline = Pipeline(bridge.store, translator)
    for second in (1, 3, 2):
        bridge.hear(world.dataset_event(measured(7), second=second))

    moment = 1_704_067_200_000_000
    assert [
        ({"dataQualityMetrics": moment + 1_000_000}, ["dataQualityMetrics"]),
        ({"dataQualityMetrics": moment + 3_000_000}, ["dataQualityMetrics"]),
    ] == translator.asked


def test_a_measurement_of_a_run_is_the_runs(bridge, world):
    """The dataset itself says nothing of it: it would change with every run."""
    bridge.hear(world.run_event(outputs=[measured(7)]))

    assert "dataQualityMetrics" not in bridge.holds()["dataset:db://h/a", "is"]


# --- what cannot be processed ---------------------------------------------------------------------------------------


@pytest.fixture
def fragile(bridge, plain):
    """A bridge whose translator cannot name one dataset."""

    class Fragile(plain.PlainTranslator):
        def resolve(self, dataset):
            if dataset.key.name == "poison":
                raise LookupError("no name for poison")
            return super().resolve(dataset)

    bridge.pipeline = Pipeline(bridge.store, Fragile())
    return bridge


def test_poison_event_is_set_aside_and_its_neighbours_are_processed(fragile, world):
    """One event that cannot be translated costs no other; stage, traceback and bytes are kept."""
    poison = world.encoded(world.run_event("bad", inputs=["poison"]))
    fragile.hear(world.run_event("one", inputs=["a"]), poison, world.run_event("two", inputs=["b"]))
    [entry] = quarantined(fragile.store.connection)

    assert {("one", "input", "a"), ("two", "input", "b")} == fragile.edges()
    assert ("translate", poison, "test", 1) == (
        entry.failure.stage,
        entry.body,
        entry.receiver,
        entry.received,
    )
    assert entry.failure.reason.startswith("Traceback")
    assert entry.failure.reason.endswith("LookupError: no name for poison\n")
    assert fragile.pipeline.step() == 0


def test_poison_event_leaves_no_facts(fragile, world):
    """What was set aside says nothing, not even half of it."""
    fragile.hear(world.run_event("bad", inputs=["poison"]))

    assert fragile.rows("SELECT * FROM facts") == []
    assert fragile.rows("SELECT * FROM subjects") == []


# --- after a change of configuration --------------------------------------------------------------------------------


def test_retranslate_changes_exactly_the_difference(bridge, world, plain):
    """With another translator only the aspects that differ go out, and the new ones are what is held."""

    class Renaming(plain.PlainTranslator):
        def resolve(self, dataset):
            found = super().resolve(dataset)
            return type(found)(found.urn.replace("/b", "/B"), *("",) * 2, ())

    bridge.hear(
        world.run_event("one", inputs=["a"], outputs=["b"]),
        world.run_event("two", run=1, inputs=["c"]),
        world.run_event("three", run=2, inputs=["b"]),
    )
    with bridge.store.transaction():
        bridge.store.aspects.delivered(bridge.store.aspects.due(1000))
    before = bridge.holds()
    Pipeline(bridge.store, Renaming()).retranslate()
    after = bridge.holds()
    changed = {key for key in after if before.get(key) != after[key]}

    assert {"dataset:db://h/B", "job:/ns/one", "job:/ns/three", RUN + "0", RUN + "2"} == {
        urn for urn, _ in changed
    }
    assert changed == {(urn, name) for urn, name in bridge.rows("SELECT urn, name FROM outbox")}
    assert ("dataset:db://h/b", "is") not in after


def test_retranslate_without_a_change_changes_nothing(bridge, world):
    """Deriving everything again with the same translator finds no difference, nor a job that another one only mentions."""
    bridge.hear(
        world.run_event(inputs=["a"], outputs=["b"], run_facets=after("elsewhere")),
        world.job_event("other", inputs=["b"]),
    )
    due = bridge.store.aspects.due(1000)
    with bridge.store.transaction():
        bridge.store.aspects.delivered(due)
    before = bridge.knows()
    bridge.pipeline.retranslate()

    assert before == bridge.knows()
    assert bridge.store.aspects.waiting() == 0


# --- what the contract hands over is always up to date ---------------------------------------------------------------


@pytest.fixture
def nosy(bridge, plain):
    """A bridge whose translator keeps everything that it is given."""
    bridge.pipeline = Pipeline(bridge.store, plain.NosyTranslator())
    return bridge


def state_of(bridge, urn: str) -> dict:
    return bridge.holds()[urn, "everything"]["state"]


def test_job_sees_the_naming_facets_of_its_datasets(nosy, world):
    """``Use.dataset`` carries symlinks and catalog: a job is derived again when they change, whatever the URN."""
    nosy.hear(world.run_event(inputs=["a"]))
    nosy.hear(world.dataset_event(symlink("a", "a"), second=3))

    assert ["symlinks"] == list(state_of(nosy, "job:/ns/flow")["inputs"][0]["dataset"]["facets"])


def test_lineage_facet_accumulates_over_a_run(bridge, world):
    """START states where one output comes from, COMPLETE where another: both edges stand, and no others (rule 4)."""

    def stating(target, source):
        entry = {"type": "DATASET", "namespace": "db://h", "name": target}
        inputs = [{"type": "DATASET", "namespace": "db://h", "name": source}]
        return {"lineage": {"entries": [{**entry, "inputs": inputs}]}}

    bridge.hear(
        world.run_event(
            second=1, event_type="START", inputs=["a"], outputs=["c"], job_facets=stating("c", "a")
        ),
        world.run_event(second=2, inputs=["b"], outputs=["d"], job_facets=stating("d", "b")),
    )
    pairs = [
        f"(DatasetKey(namespace='db://h', name='{a}'), DatasetKey(namespace='db://h', name='{c}'))"
        for a, c in ("ac", "bd")
    ]

    assert f"pairs=({', '.join(pairs)})" in bridge.holds()["job:/ns/flow", "does"]["lineage"]


def test_lineage_from_job_to_job_alone(bridge, world):
    """JOB inputs of the lineage facet are data flow (rule 6), also for a run without any dataset."""
    upstream = {"type": "JOB", "namespace": "ns", "name": "upstream"}
    bridge.hear(world.run_event(job_facets={"lineage": {"entries": [{"type": "JOB", "inputs": [upstream]}]}}))

    assert (
        "upstream_jobs=(JobKey(namespace='ns', name='upstream'),)"
        in bridge.holds()["job:/ns/flow", "does"]["lineage"]
    )


def test_retranslate_isolates_what_cannot_be_translated(fragile, world, plain):
    """After an upgrade whose translator stumbles over one dataset, all others are translated."""
    fragile.pipeline, strict = Pipeline(fragile.store, plain.PlainTranslator()), fragile.pipeline
    fragile.hear(world.run_event("bad", inputs=["poison"]), world.run_event("good", run=1, inputs=["a"]))
    strict.retranslate()

    assert ("dataset:db://h/a", "is") in fragile.holds()


# --- what is handed over without a dataset ------------------------------------------------------------------------------


def after(*jobs: str, run: str = "r") -> dict:
    """``jobDependencies`` of a run that takes the results of these jobs."""
    upstream = [{"job": {"namespace": "ns", "name": job}, "run": {"runId": f"{run}-{job}"}} for job in jobs]
    return {"jobDependencies": {"upstream": upstream}}


def test_results_handed_on_in_memory_keep_the_lineage_together(bridge, world):
    """One task reads, another computes, a third writes: the graph leads from end to end."""
    bridge.hear(
        world.run_event("read", inputs=["web"]),
        world.run_event("compute", run=1, run_facets=after("read")),
        world.run_event("write", run=2, outputs=["table"], run_facets=after("compute")),
    )

    expected = {("web", "read"), ("read", "compute"), ("compute", "write"), ("write", "table")}
    assert expected == bridge.path("table") == bridge.path("web")


def test_jobs_that_a_dataset_connects_need_no_second_edge(bridge, world):
    """What is written by one and read by the next is the connection."""
    bridge.hear(
        world.run_event("first", outputs=["t"]),
        world.run_event("second", run=1, inputs=["t"], run_facets=after("first")),
    )

    assert {("first", "t"), ("t", "second")} == bridge.path("t")


def test_a_run_that_only_took_results_does_not_speak_for_one_that_read(bridge, world):
    """It was answered from a cache."""
    bridge.hear(
        world.run_event("load", run=0, second=1, inputs=["a"], outputs=["b"], run_facets=after("plan")),
        world.run_event("load", run=1, second=9, run_facets=after("other")),
    )

    assert {("load", "input", "a"), ("load", "output", "b")} == bridge.edges()
    assert {("plan", "load"), ("a", "load"), ("load", "b")} == bridge.path("load")


def test_the_runs_that_a_job_depends_on_are_no_news_about_the_job(bridge, world):
    """Every run names other ones, and twice as many of them when the task is mapped."""
    bridge.hear(world.run_event("load", run=0, second=1, outputs=["b"], run_facets=after("plan", run="x")))
    signature = bridge.rows("SELECT hex(signature) FROM jobs")
    facets = after("plan", "plan", run="y")
    bridge.hear(world.run_event("load", run=1, second=9, outputs=["b"], run_facets=facets))

    assert signature == bridge.rows("SELECT hex(signature) FROM jobs")
