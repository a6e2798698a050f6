from typing import Any

Buffer = Any
"""Whatever gives its bytes away, contiguous."""

def scene(
    out: Buffer,
    background: Buffer,
    corners: Buffer,
    colors: Buffer,
    camera: tuple[float, float, float, float, float],
    above: Buffer,
    box: tuple[int, int, int, int],
) -> None: ...
