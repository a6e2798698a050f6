"""Bytes on disk: what survives kills, power cuts and hostile files.

Only `sessions` imports it; it knows no schema.
"""
