from __future__ import annotations

import numpy as np

from racer.training.probe import distinct, readable


def test_what_lies_in_the_latents_can_be_read_and_what_does_not_cannot() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((1200, 5)).astype(np.float32)
    traits = np.stack(
        [
            latents[:, 0] > 0.5,
            latents[:, 1] * latents[:, 2],
            rng.random(1200) < 0.5,
            rng.standard_normal(1200),
            np.ones(1200),
        ],
        axis=1,
    ).astype(np.float64)
    read = readable(latents, traits, ("bright", "product", "coin", "noise", "constant"))
    assert read["bright"]["accuracy"] > 0.9 and read["product"]["explained"] > 0.9
    assert abs(read["coin"]["accuracy"] - 0.5) < 0.1 and read["noise"]["explained"] < 0.1
    assert "constant" not in read


def test_nothing_is_said_of_a_few_pictures() -> None:
    assert readable(np.zeros((20, 3), np.float32), np.zeros((20, 1)), ("a",)) == {}


def test_a_picture_that_is_met_twice_counts_once() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), np.uint8)
    frames = pictures[[3, 3, 0, 3, 1, 0, 59]]
    assert distinct(frames).tolist() == [0, 2, 4, 6]
    assert distinct(pictures).tolist() == list(range(60))
