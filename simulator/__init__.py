"""Worlds of parcels and complaints with planted, labelled trouble."""
