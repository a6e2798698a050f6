"""Repairing, merging and withdrawing recordings.

Nothing that reads or records imports it; commands, sittings, studies and recordings of `racer` do.
"""
