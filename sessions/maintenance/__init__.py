"""Repairing, merging and withdrawing recordings."""
