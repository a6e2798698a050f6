from __future__ import annotations

import hashlib
import json
import tomllib
from typing import Any

import pytest

from compression.coders import BUILT_IN
from compression.coders.coder import find_coder
from compression.model.header import FILE_NAME, shipped_model
from compression.model.latent_model import LatentModel

LARGEST, MOST_DATA = 5_000_000, 40_000_000
"""Bytes of a model, and of whatever a wheel carries besides code."""
FOLDER = shipped_model("car-racing")
ROOT = FOLDER.parents[2]
WEIGHTS = FOLDER / FILE_NAME


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    result: dict[str, Any] = json.loads((FOLDER / "card.json").read_text())
    return result


def test_the_data_card_describes_the_shipped_file(card: dict[str, Any]) -> None:
    data = WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data)


def test_no_model_takes_more_than_5_mb_but_the_one_that_recordings_of_version_0_1_0_need() -> None:
    sizes = {path.parent.name: path.stat().st_size for path in FOLDER.parent.glob(f"*/{FILE_NAME}")}
    assert len(sizes) > 1
    assert {name for name, size in sizes.items() if size > LARGEST} == {"car-racing"}


def test_all_data_of_the_packages_take_less_than_40_mb() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    files = {path for name, patterns in packages.items() for each in patterns for path in (ROOT / name).glob(each)}
    assert FOLDER / FILE_NAME in files
    assert sum(path.stat().st_size for path in files) < MOST_DATA


def test_the_held_out_quality_is_what_was_promised(card: dict[str, Any]) -> None:
    held_out = card["held_out"]
    assert held_out["psnr_full_170_bits_db"] >= 31
    assert held_out["quantisation_cost_db"] <= 0.3
    assert held_out["informative_features"] >= 20


def test_every_coder_but_two_finds_its_fitted_file_beside_the_model(
    model: LatentModel,
) -> None:
    for name in BUILT_IN:
        coder = find_coder(name)
        fitted = coder.read_shipped(model)
        assert (fitted is None) == (coder.needs is None or name in ("perceptual", "agent"))
        assert fitted is None or fitted.record.objective == coder.needs


def test_what_version_0_1_0_shipped_keeps_its_bytes(model: LatentModel) -> None:
    recorded = {
        "model": "8ccf33862993",
        "pico": "e9f228b160a9",
        "coarse": "6c7146ae0e63",
        "pico-rate": "d8cc31812a19",
        "predictive": "410f21bad8da",
        "rl-allocation": "4f655df78f0d",
    }
    for name, expected in recorded.items():
        data = (FOLDER / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest().startswith(expected), name
