"""Scripts of pages: files that pages are made of, data that they are given, and the hash that lets them run."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any


def source(name: str) -> str:
    """Return the text of a file of this package."""
    return (files("racer.report") / name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """Return what a page's security policy says so that this script runs, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def script_data(data: Any) -> str:
    """Return data as JSON for a script's element: no text in it, whoever wrote it, can end that element."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def data_address(image: bytes, kind: str = "svg+xml") -> str:
    """Return an image as an address that holds all of it; scripts in such an image never run."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
