"""Collectors in programs that do not import them: ``openlineage-bridge autoload`` and ``openlineage-bridge run``.

* ``targets``      which collectors there are, and what each waits for: the entry points of an interpreter
* ``interpreter``  another process of an interpreter, asked about itself: its site folders, its targets, whether it works
* ``pth``          the two files that ``autoload enable`` writes, finds again and removes
* ``launch``       the environment in which a command and its children load the collectors
* ``commands``     the two click commands
* ``loader``       a folder of its own that also goes on the PYTHONPATH: the module that waits, and a ``sitecustomize``
"""
