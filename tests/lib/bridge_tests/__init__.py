"""What tests of several folders share; ``tests/conftest.py`` puts the folder above on the import path."""
