"""The lineage page: a list that the server renders, and a script that draws the same as a graph."""
