"""The predictive coder: its readings, its healing, and the batch that its fit runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compression.coders.coder import CoderSettings, find_coder
from compression.coders.predictive import Forecast, dequantise, quantise, shapes_for
from compression.coders.schedule import Reading, fields
from compression.errors import TrainingError
from compression.fitting.predictive import PredictiveConfig, _learn, fit_predictive
from compression.model.latent_model import LatentModel


def reading(depth: int, absolute: bool, step: float = 0.5) -> Reading:
    rng = np.random.default_rng(depth)
    direction, gain = rng.normal(size=(2, 32)).astype(np.float32)
    return Reading(direction, gain, depth, step, 0.3 if absolute else None)


@given(st.integers(1, 170), st.integers(0, 200), st.sampled_from([2, 4, 12, 32, 64]))
def test_fields_never_exceed_the_slot(bits: int, step: int, latents: int) -> None:
    absolutes, differences = fields(bits, step, latents)
    assert sum(absolutes) + sum(differences) <= bits
    assert all(1 <= depth <= 6 for depth in [*absolutes, *differences])
    assert sum(absolutes) + sum(differences) == bits or len(differences) == latents


@given(st.integers(1, 12))
def test_every_rate_is_refreshed_within_four_packets(bits: int) -> None:
    for start in range(12):
        assert any(fields(bits, start + step, 32)[0] for step in range(4))


@given(st.integers(1, 6), st.floats(-20, 20), st.floats(-20, 20))
def test_a_difference_lands_within_half_a_cell_unless_out_of_reach(depth: int, predicted: float, actual: float) -> None:
    used = reading(depth, absolute=False)
    landed = predicted + dequantise(used, quantise(used, predicted, actual), predicted)
    reach = used.levels / 2 * used.step
    if abs(actual - predicted) < reach:
        assert abs(landed - actual) <= used.step / 2 + 1e-9


@given(st.integers(1, 6), st.floats(-20, 20), st.floats(-20, 20))
def test_an_absolute_reading_brings_any_prediction_into_the_same_cell(
    depth: int, predicted: float, actual: float
) -> None:
    used = reading(depth, absolute=True)
    symbol = quantise(used, predicted, actual)
    landed = predicted + dequantise(used, symbol, predicted)
    assert quantise(used, 0.0, landed) == symbol


@pytest.mark.parametrize("absolute", [False, True])
def test_the_fit_reads_as_the_coder_does(absolute: bool) -> None:
    rng = np.random.default_rng(0)
    shown, truth = rng.normal(size=(2, 50, 32)).astype(np.float32)
    used = reading(3, absolute)
    batch = _learn(torch.from_numpy(shown), torch.from_numpy(truth), used).numpy()
    for row in range(50):
        predicted = float(used.direction @ shown[row])
        symbol = quantise(used, predicted, float(used.direction @ truth[row]))
        single = shown[row] + np.float32(dequantise(used, symbol, predicted)) * used.gain
        np.testing.assert_allclose(batch[row], single, atol=1e-4)


def test_both_ends_agree_bit_for_bit_as_long_as_nothing_is_lost(model: LatentModel) -> None:
    fitted = find_coder("predictive").read_shipped(model)
    assert fitted is not None
    first, second = Forecast(fitted, model, 7), Forecast(fitted, model, 7)
    rng = np.random.default_rng(1)
    for _ in range(30):
        action = int(rng.integers(3))
        for mine, yours in zip(first.advance(action), second.advance(action), strict=True):
            symbol = int(rng.integers(mine.levels))
            first.learn(mine, symbol)
            second.learn(yours, symbol)
        assert first.latent.tobytes() == second.latent.tobytes()


def test_ends_that_lost_packets_drove_apart_come_together_again(model: LatentModel) -> None:
    coder = find_coder("predictive")
    chosen = CoderSettings(12, "episode", "hold", np.random.default_rng(0), coder.read_shipped(model))
    sender, complete, lossy = (make(model, chosen) for make in (coder.sender, coder.receiver, coder.receiver))
    rng = np.random.default_rng(3)
    latent, gaps = model.mean.copy(), []
    for step in range(160):
        latent = (0.95 * latent + rng.normal(0, 0.2, 32)).astype(np.float32)
        packet = sender.send(latent, 0)  # type: ignore[attr-defined]
        whole = complete.take(packet, 0)  # type: ignore[attr-defined]
        gaps.append(np.abs(whole - lossy.take(None if 40 <= step < 50 else packet, 0)).mean())  # type: ignore[attr-defined]
    assert gaps[39] == 0
    assert np.mean(gaps[-20:]) < 0.3 * np.mean(gaps[48:52])


def test_the_same_drives_and_seed_give_the_same_tensors(any_model: LatentModel) -> None:
    rng, sizes = np.random.default_rng(0), any_model.sizes
    latents = np.cumsum(rng.normal(0, 0.2, (8, 26, sizes.latents)), 1).clip(-3, 3).astype(np.float32)
    actions = rng.integers(sizes.actions, size=(8, 26)).astype(np.uint8)
    config = PredictiveConfig(rounds=1, batch=4, window=13, measured=4)
    importance = np.eye(sizes.latents) / sizes.latents
    if not sizes.hidden:
        with pytest.raises(TrainingError, match="world model"):
            fit_predictive(latents, actions, importance, any_model, config)
        return
    with pytest.raises(TrainingError, match="more than 8 drives; got 8"):
        fit_predictive(latents, actions, importance, any_model, replace(config, measured=8))
    first, second = (fit_predictive(latents, actions, importance, any_model, config) for _ in range(2))
    assert {name: value.shape for name, value in first.items()} == shapes_for(sizes)
    assert all((first[name] == second[name]).all() for name in first)
