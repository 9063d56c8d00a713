"""Stalled parcels: simulated worlds (A, D), real orders (B) and event logs (C)."""
