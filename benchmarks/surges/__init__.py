"""Surges: simulated counts with planted outbreaks, and how well detectors find them."""
