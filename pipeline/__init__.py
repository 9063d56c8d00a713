"""Drivers of the cores: worker, replay, delivery, state, metrics and the command line."""
