"""The folder that goes on a PYTHONPATH: nothing in it imports anything but the standard library."""
