"""Forewarn's judgement: events in, decisions out. No I/O, no clock, no Faust."""
