from __future__ import annotations

from typing import Any

import pytest

from compression.errors import SizeError
from compression.model.sizes import Sizes

SOUND: dict[str, Any] = {"frame": (64, 64, 3), "latents": 32, "blocks": 8, "actions": 3, "hidden": 256, "dense": 512}


def test_blocks_divide_the_latents() -> None:
    assert Sizes(**SOUND).block_size == 4
    assert Sizes(**SOUND | {"latents": 12, "blocks": 3}).block_size == 4


@pytest.mark.parametrize(
    "change",
    [
        {"frame": (7, 64, 3)},
        {"frame": (64, 257, 3)},
        {"frame": (64, 64, 2)},
        {"frame": (64, 64)},
        {"frame": (64.0, 64, 3)},
        {"latents": 1, "blocks": 1},
        {"latents": 257},
        {"latents": 33},
        {"blocks": 1},
        {"blocks": 32},
        {"actions": 1},
        {"actions": 65},
        {"hidden": -1},
        {"hidden": 1025},
        {"dense": 0},
        {"dense": True},
    ],
)
def test_sizes_that_no_model_has_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(SizeError) as refusal:
        Sizes(**SOUND | change)
    assert "\n" not in str(refusal.value)
