"""Bytes on disk: what survives kills, power cuts and hostile files."""
