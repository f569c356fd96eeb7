"""Where proposals go: ``rest`` to DataHub's server, ``kafka`` to the topic that it reads, ``file`` to what ``datahub ingest`` reads."""
