"""Recordings as tables and arrays for other programs."""

from __future__ import annotations

from sessions.export.cells import text_of
from sessions.export.export import ExportSummary, export_arrays, export_tables
from sessions.export.folder import ExportError

__all__ = ["ExportError", "ExportSummary", "export_arrays", "export_tables", "text_of"]
