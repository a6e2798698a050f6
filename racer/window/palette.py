"""The window's colours: told apart with any colour vision.

Okabe and Ito's sky blue, orange and yellow on a neutral dark ground. Every pair of text and ground that screens use has
a contrast of at least 6:1.
"""

from __future__ import annotations

from typing import Final

from racer.window.canvas import Color

GROUND: Final[Color] = (22, 24, 28)
PANEL: Final[Color] = (36, 39, 45)
EDGE: Final[Color] = (66, 71, 80)
INK: Final[Color] = (240, 242, 245)
QUIET: Final[Color] = (172, 179, 190)
BLUE: Final[Color] = (86, 180, 233)
ORANGE: Final[Color] = (240, 170, 40)
YELLOW: Final[Color] = (240, 228, 66)
