"""Where proposals go: ``file`` writes what ``datahub ingest`` reads, ``rest`` speaks to DataHub's server."""
