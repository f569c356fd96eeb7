"""The smallest Dagster jobs, and how many OpenLineage events a run of each gives."""

from __future__ import annotations

from dagster import job, op


@op
def one():
    return 1


@op
def plus(number):
    return number + 1


@job
def single():
    one()


@job
def adding():
    plus(one())


EVENTS_OF_SINGLE = 4
EVENTS_OF_ADDING = 6
