from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from compression.fitting.mask_file import DEFAULT_MASK, load_mask
from compression.model.latent_model import WEIGHTS, Codec

LARGEST = 12_000_000


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(WEIGHTS.with_name("codec.json").read_text())
    return result


def test_the_data_card_describes_the_shipped_file(card: dict[str, Any]) -> None:
    data = WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data)


def test_all_shipped_weights_together_take_at_most_12_mb() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.parent.glob("*.safetensors")) <= LARGEST


def test_the_held_out_quality_is_what_was_promised(card: dict[str, Any]) -> None:
    held_out = card["held_out"]
    assert held_out["psnr_full_170_bits_db"] >= 31
    assert held_out["quantisation_cost_db"] <= 0.3
    assert held_out["informative_features"] >= 20


def test_the_shipped_mask_was_made_for_the_shipped_weights(codec: Codec) -> None:
    assert load_mask(DEFAULT_MASK, codec.sha256).record.objective == "pico"
