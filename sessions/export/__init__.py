"""Recordings as tables and arrays for other programs."""
