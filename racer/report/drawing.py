"""Drawing: figures rendered the same way every time, to SVG and PNG, with the numbers that they show."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from racer.analysis import analysis
from racer.loop.conditions import condition_names
from sessions.export.cells import Cell, csv_bytes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design": told apart with every common kind of colour vision.
COLOURS = {"raw": "#0072B2", "full": "#009E73", "random": "#7F7F7F", "perceptual": "#56B4E9", "pico": "#E69F00"}
"""Colours of the conditions; orange, grey and green as in the paper's figure 6."""
MARKERS = {"raw": "s", "full": "^", "random": "o", "perceptual": "v", "pico": "D"}
"""Markers of the conditions, so that none is told by its colour alone."""
_MORE_COLOURS = ("#D55E00", "#CC79A7", "#7CAE00", "#004C3F", "#8C510A", "#5E3C99", "#000000")
_MORE_MARKERS = ("P", "X", "<", ">", "p", "h", "*", "d", "8")
"""Markers of further coders: with the colours they make 63 different pairs."""
INK, FAINT = "#222222", "#B0B0B0"
PNG_DPI = 160

_STYLE: Any = {
    "svg.hashsalt": "racer",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


@dataclass(frozen=True)
class FigurePoint:
    """A point of a figure, as a page tells of it when it is pointed at."""

    words: str
    picture: bytes = b""
    """PNG of the frames behind it; empty where there are none."""


@dataclass(frozen=True)
class Part:
    """Something drawn that a page can point at and take away; the one of number n has the id `part<n>` in the SVG."""

    name: str
    """Condition, coder or rule that it belongs to; empty for none."""
    marks: tuple[FigurePoint, ...]
    """Its points in the order in which they were drawn; none of what is only taken away."""


class Parts:
    """The parts of a figure, as they are drawn."""

    def __init__(self) -> None:
        self.drawn: list[Part] = []

    def add(self, artist: Artist, name: str, marks: Sequence[FigurePoint] = ()) -> None:
        """Take note of what was drawn; see `Part`."""
        artist.set_gid(f"part{len(self.drawn)}")
        self.drawn.append(Part(name, tuple(marks)))

    def add_points(self, points: ErrorbarContainer, name: str, marks: Sequence[FigurePoint] = ()) -> None:
        """Take note of points, or a single one, with their error bars."""
        line, caps, bars = points.lines
        if line is not None:
            self.add(line, name, marks)
        for artist in (*caps, *bars):
            self.add(artist, name)


@dataclass(frozen=True)
class Illustration:
    """A figure and its numbers."""

    name: str
    """Name of its files, without suffixes."""
    alt: str
    """What it shows, for those who cannot see it."""
    svg: bytes
    png: bytes
    header: tuple[str, ...]
    """Header of its table of numbers."""
    rows: tuple[tuple[Cell, ...], ...]
    parts: tuple[Part, ...] = ()

    @property
    def csv(self) -> bytes:
        """The table as a file."""
        return csv_bytes(self.header, self.rows)


def colour_of(condition: str) -> str:
    """Return a condition's colour, as `#rrggbb`: for good, as long as no coder that is listed before it is added."""
    return COLOURS.get(condition) or _MORE_COLOURS[_place(condition) % len(_MORE_COLOURS)]


def marker_of(condition: str) -> str:
    """Return a condition's marker, as Matplotlib calls it."""
    return MARKERS.get(condition) or _MORE_MARKERS[_place(condition) % len(_MORE_MARKERS)]


def _place(condition: str) -> int:
    """Return a coder's place among those without a colour of their own; after all of them if it is not known here."""
    others = [name for name in condition_names() if name not in COLOURS]
    return others.index(condition) if condition in others else len(others)


@contextmanager
def canvas(
    width: float, height: float, panels: int = 1, across: int | None = None, rows: Sequence[float] = ()
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give an empty figure of this size in inches with panels side by side, in the report's style.

    Of many panels, `across` stand side by side in a row. With `rows`, panels stand below each other, as high as these
    are to each other.

    Whatever the user has configured matplotlib to do is back when the context ends; no window system is asked for.
    """
    matplotlib, figures = analysis("matplotlib"), analysis("matplotlib.figure")
    canvases = analysis("matplotlib.backends.backend_agg")

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        canvases.FigureCanvasAgg(figure)
        if rows:
            panels, across = len(rows), 1
        across = across or panels
        ratios = {"height_ratios": rows} if rows else None
        every = list(figure.subplots(-(-panels // across), across, squeeze=False, gridspec_kw=ratios).flat)
        for axes in every[panels:]:
            axes.remove()
        yield figure, every[:panels]


def render(
    figure: Figure,
    name: str,
    alt: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    parts: Parts | None = None,
) -> Illustration:
    """Return a finished figure as an illustration; the same one gives the same bytes. Call it inside its `canvas`."""
    svg, png = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        # A title in a script that the font lacks is drawn as boxes; the page has it as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Laid out once for both files, which takes as long as drawing them.
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
    table, noted = tuple(tuple(row) for row in rows), tuple(parts.drawn) if parts else ()
    return Illustration(name, alt, svg.getvalue(), png.getvalue(), tuple(header), table, noted)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return ascending places moved apart as little as needed to be at least `gap` from each other.

    Those in each other's way keep their mean.
    """
    groups: list[list[float]] = []

    def first(group: list[float]) -> float:
        return sum(group) / len(group) - gap * (len(group) - 1) / 2

    for place in places:
        groups.append([place])
        while len(groups) > 1 and first(groups[-1]) < first(groups[-2]) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [first(group) + gap * i for group in groups for i in range(len(group))]


def label(text: str, longest: int = 24) -> str:
    """Return text from a recording as a label: on one line and not too long."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
