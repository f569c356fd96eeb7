"""From the text of a statement to the tables and columns it reads and writes, on sqlglot.

* ``relations``   values: a table, what a column is made of, what a query gives
* ``parsing``     text → syntax trees: placeholders, cache, what the parser gave up on
* ``files``       a path in a statement → the dataset it names
* ``tables``      a name in a statement → the dataset it names, or why it names none
* ``columns``     an expression → the columns it is made of
* ``queries``     a query → a relation: what each of its columns is made of
* ``effects``     what the statements of a run did so far: outputs, temporary tables, known columns
* ``statements``  one statement → its effects, one function per kind
* ``script``      every statement of a recording, in order → the lineage of the run

Only ``script`` is for the outside; sqlglot is imported with it and comes with the extra ``openlineage-bridge[sql]``.
"""
