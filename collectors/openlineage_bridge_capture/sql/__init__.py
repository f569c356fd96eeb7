"""From the text of a statement to the tables and columns it reads and writes, on sqlglot.

* ``relations``   values: a table, what a column is made of, what a query gives
* ``rewrites``    forms that the parser does not know → forms that it knows, by dialect
* ``parsing``     text → syntax trees: placeholders, cache, what the parser gave up on
* ``files``       a path in a statement → the dataset it names
* ``functions``   table functions and stages that name files
* ``locations``   where the definition of a table says that its data is
* ``tables``      a name in a statement → the dataset it names, or why it names none
* ``columns``     an expression → the columns it is made of
* ``queries``     a query → a relation: what each of its columns is made of
* ``knowledge``   what the connections' catalogs said of tables, and from when on it holds
* ``effects``     what the statements of a run did so far: outputs, temporary tables, known columns
* ``changes``     UPDATE, DELETE, MERGE → their effects
* ``transfers``   COPY, UNLOAD, EXPORT, LOAD → their effects
* ``statements``  one statement → its effects, one function per kind
* ``script``      every statement of a recording, in order → the lineage of the run
* ``literals``    the text of a statement without its literals

Only ``script`` and ``literals`` are for the outside; sqlglot is imported with the former and comes with the extra
``openlineage-bridge[sql]``.
"""
