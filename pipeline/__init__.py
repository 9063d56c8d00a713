"""Drivers of the cores: worker, replay, delivery, state, metrics and the command line."""

__version__ = "0.1.0"
