"""Sizes and colours of what is drawn: shared by the drawing and by pilots that look at it. Needs no pygame.

Every part that matters is told apart by what some of its colours exceed the others by, which blur dilutes but does not
turn into another part: yellow is the pad, warm its beam, magenta are the legs, green is the needle. Sky, ground, stars
and the white hull have next to none of these, and all alike.
"""

from __future__ import annotations

from dataclasses import dataclass

FRAME_SIZE = 64
"""Pixels of a frame's side."""
CRAFT_COLUMN, CRAFT_ROW = 32, 20
"""Pixel corner at which the craft's middle is drawn, always: the camera follows it."""
NEEDLE_SECONDS = 1.5
"""The needle points to where the craft would be this much simulated time later if it went on as it does."""
LONGEST_NEEDLE = 5.0
"""Units; faster craft have a needle of this length."""
PAD_WIDTH, PAD_DEPTH = 4.0, 0.45
"""Width and depth of the pad, units."""
STANDING_HEIGHT = 0.6
"""Units from the pad's top to the middle of a craft that stands on it."""

Color = tuple[int, int, int]

SPACE: Color = (6, 9, 32)
"""Sky far above the ground."""
HORIZON: Color = (32, 46, 80)
"""Sky at the foot of the field."""
STAR: Color = (84, 92, 114)
GROUND: Color = (96, 98, 120)
BEAM: Color = (56, 34, 6)
"""Added to the sky above the pad."""
PAD: Color = (255, 220, 0)
"""The pad, its flags, and the arrow at the frame's edge that says where it is when it is out of view."""
HULL: Color = (236, 236, 246)
LEGS: Color = (255, 30, 220)
NEEDLE: Color = (20, 255, 90)
FLAME: Color = (255, 120, 120)

LABELS = ("sky", "ground", "pad", "craft", "flame", "needle", "arrow")
"""What a pixel may show: stars and the beam are sky, legs are the craft's, flags the pad's."""


@dataclass(frozen=True)
class Palette:
    """What everything is drawn in."""

    space: Color = SPACE
    horizon: Color = HORIZON
    star: Color = STAR
    beam: Color = BEAM
    ground: Color = GROUND
    pad: Color = PAD
    hull: Color = HULL
    legs: Color = LEGS
    needle: Color = NEEDLE
    flame: Color = FLAME
    arrow: Color = PAD


def label_palette() -> Palette:
    """Return the palette whose red is the number of the label; the beam adds nothing to the sky."""
    sky, ground, pad, craft, flame, needle, arrow = ((number, 0, 0) for number in range(len(LABELS)))
    return Palette(sky, sky, sky, sky, ground, pad, craft, craft, needle, flame, arrow)
