"""The translator from OpenLineage to DataHub.

::

    urns.py             a dataset's URN, equal to the one of the platform's own connector
    ├── rules.py            the user's rules for namespaces
    ├── locations.py        namespace and name taken apart
    ├── platforms.py        one row per platform: whose naming rule it follows
    ├── names.py            the shapes of names
    ├── path_specs.py       which folder of a data lake is the table
    ├── encoding.py         URN text: reserved characters and length
    └── proposing.py        which rule would give datasets the URNs that DataHub has
    jobs.py             a job's orchestrator, flow and task
    coverage.py         which facet becomes what; facet_page.py prints it, facets.py reads them
    translate.py        the translator
    ├── job_aspects.py, run_aspects.py, dataset_aspects.py
    ├── edges.py            edges and column lineage
    ├── queries.py          the SQL of a job
    ├── schema.py           types and field paths
    ├── containers.py       databases, schemas, catalogs
    ├── activity.py         what happened at a moment: operations.py, profiles.py, assertions.py
    ├── curated.py          owners, tags and terms
    ├── platform_info.py    platforms that DataHub does not know by itself
    └── options.py          its section of the configuration
    migration.py        which jobs of other plugins ours replace
    proposals.py        what goes over the wire
    sinks/              where proposals go
    ├── rest.py             DataHub's server: address.py, posting.py, answers.py
    ├── kafka.py            the topic that it reads: avro.py
    ├── file.py             files that ``datahub ingest`` reads
    ├── held.py             what DataHub holds already, and from whom
    ├── comparison.py       what it holds of what it should
    ├── predecessors.py     what other plugins left there
    └── catalog.py          on which entities lineage lands
    source.py           the source of ``datahub ingest``

acryl-datahub is imported by source.py, and by kafka.py for its schema: elsewhere it is the judge in the tests.
"""

from __future__ import annotations

from openlineage_bridge_datahub.translate import DataHubTranslator
from openlineage_bridge_datahub.urns import DatasetNaming

__all__ = ["DataHubTranslator", "DatasetNaming"]
