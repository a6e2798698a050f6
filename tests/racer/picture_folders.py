"""Folders of small pictures with labels, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 230)}


def draw_folder(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """Write pictures of a colour each, on the left or on the right, and their labels; return the folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["image,side,colour,number"]
    for index in range(count):
        side, colour = ("left", "right")[rng.integers(2)], list(COLOURS)[rng.integers(3)]
        picture = rng.integers(0, 60, (24, 24, 3)).astype(np.uint8)
        picture[6:18, slice(2, 10) if side == "left" else slice(14, 22)] = COLOURS[colour]
        Image.fromarray(picture).save(folder / f"{index:03}.png")
        lines.append(f"{index:03}.png,{side},{colour},{index}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
