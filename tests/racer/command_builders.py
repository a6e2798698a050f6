"""What a command line comes to, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn


@dataclass
class Outcome:
    code: object
    out: str
    err: str


Racer = Callable[[str], Outcome]
Refuse = Callable[[str, str], None]


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def strictly(text: str) -> Any:
    """Read the one JSON object that this text must be; NaN is none."""

    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse_constant)
