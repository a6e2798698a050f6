"""Latent traversals: what each block of features looks like, one feature moved at a time."""

from __future__ import annotations

from compression.model.latent_model import LatentModel
from racer.report.drawing import Illustration, canvas, render
from racer.training.sheets import DEVIATIONS, GAP, tiled, traverse

_COLUMNS = 2
_PANEL_WIDTH = 3.4
"""Inches."""


def draw_traversals(model: LatentModel, pico_sends: tuple[float, ...] | None) -> Illustration:
    """Draw every block: a row per feature, a column per deviation.

    Args:
        model: The weights.
        pico_sends: Fraction of the steps in which `pico` sends each block; None where it was not shown.
    """
    sizes, size = model.sizes, model.sizes.block_size
    frames = traverse(model)
    down, right = sizes.frame[0] + GAP, sizes.frame[1] + GAP
    rows = -(-sizes.blocks // _COLUMNS)
    height = 0.25 + _PANEL_WIDTH * size * down / (len(DEVIATIONS) * right)
    with canvas(0.4 + _COLUMNS * _PANEL_WIDTH, 0.4 + height * rows, sizes.blocks, _COLUMNS) as (figure, panels):
        for block, axes in enumerate(panels):
            features = range(block * size, (block + 1) * size)
            axes.imshow(tiled([list(frames[feature]) for feature in features]))
            sent = "" if pico_sends is None else f", pico sends it {100 * pico_sends[block]:.0f} %"
            axes.set_title(f"block {block}{sent}", fontsize=9)
            axes.set_xticks(
                [i * right + (sizes.frame[1] - 1) / 2 for i in range(len(DEVIATIONS))],
                [f"{value:+g}" if value else "0" for value in DEVIATIONS],
            )
            axes.set_yticks(
                [i * down + (sizes.frame[0] - 1) / 2 for i in range(size)], [str(feature) for feature in features]
            )
            axes.tick_params(length=0, labelsize=8)
            axes.spines[:].set_visible(False)
        figure.supxlabel("standard deviations from the mean latent", fontsize=9)
        figure.supylabel("feature", fontsize=9)
        table = [
            (feature // size, feature, float(model.mean[feature]), float(model.covariance[feature, feature] ** 0.5))
            for feature in range(sizes.latents)
        ]
        alt = (
            f"What the {sizes.blocks} blocks of {size} features look like: the mean latent decoded with one feature at "
            "a time moved by -2 to +2 standard deviations."
        )
        return render(figure, "traversals", alt, ("block", "feature", "mean", "standard_deviation"), table)
