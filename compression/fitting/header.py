"""What files of masks and of coders have in common: a header that is always written alike, and texts nobody trusts."""

from __future__ import annotations

import json


def sorted_header(data: bytes) -> bytes:
    """Return a safetensors file with the keys of its header sorted: safetensors writes metadata in any order."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[end:]


def one_line(text: object) -> str:
    """Return the first line of a text, cut short; what a file put into it cannot steer the terminal."""
    line = (str(text).splitlines() or [""])[0][:200]
    return "".join(c if c.isprintable() else "?" for c in line)
