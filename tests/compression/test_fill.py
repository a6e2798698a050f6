from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from compression.fill import Fill, HoldFill, PredictFill, PriorFill
from compression.masks import features_of
from compression.model.sizes import Sizes
from compression.model.world_model import WorldModel

LATENTS, HIDDEN = 32, 24
SIZES = Sizes((64, 64, 3), LATENTS, blocks=8, actions=3, hidden=HIDDEN, dense=16)
MEAN = np.linspace(-1, 1, LATENTS, dtype=np.float32)
NOTHING = np.zeros(LATENTS, bool)


def covariance() -> NDArray[np.float32]:
    """Return a covariance, float32[32, 32], in which every feature says something about the others."""
    factor = np.random.default_rng(0).standard_normal((LATENTS, 8))
    return (factor @ factor.T / 8 + 0.3 * np.eye(LATENTS)).astype(np.float32)


def world_model() -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return WorldModel(SIZES).eval().requires_grad_(False)


def sent(*blocks: int) -> NDArray[np.bool_]:
    mask = np.zeros(8, bool)
    mask[list(blocks)] = True
    return features_of(mask, SIZES.block_size)


def values(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(LATENTS).astype(np.float32)


def new_fill(name: str) -> Fill:
    if name == "hold":
        return HoldFill(MEAN)
    if name == "prior":
        return PriorFill(MEAN, covariance())
    return PredictFill(world_model(), MEAN)


def run(fill: Fill, steps: int = 6) -> NDArray[np.float32]:
    """Return the latents, float32[steps, 32], of an episode in which the blocks sent rotate."""
    return np.stack(
        [
            fill.complete(values(step), sent(step % 8, (step + 3) % 8), step % 3, bytes([step, 7]))
            for step in range(steps)
        ]
    )


each_fill = pytest.mark.parametrize("name", ["hold", "prior", "predict"])


@each_fill
def test_sent_values_pass_unchanged_and_bit_for_bit(name: str) -> None:
    fill = new_fill(name)
    for step in range(8):
        arrived = sent(step, (step + 2) % 8)
        latent = fill.complete(values(step), arrived, 1, bytes([step]))
        assert latent.dtype == np.float32
        assert latent.shape == (LATENTS,)
        assert latent[arrived].tobytes() == values(step)[arrived].tobytes()
        assert np.isfinite(latent).all()


@each_fill
def test_everything_sent_is_everything_received(name: str) -> None:
    fill = new_fill(name)
    for step in range(3):
        latent = fill.complete(values(step), np.ones(LATENTS, bool), 0, b"x")
        assert latent.tobytes() == values(step).tobytes()


@each_fill
def test_values_that_were_not_sent_mean_nothing(name: str) -> None:
    first, second = new_fill(name), new_fill(name)
    for step in range(4):
        arrived = sent(step)
        garbage = np.where(arrived, values(step), np.float32(1e6)).astype(np.float32)
        one = first.complete(values(step), arrived, 0, bytes([step]))
        other = second.complete(garbage, arrived, 0, bytes([step]))
        assert one.tobytes() == other.tobytes()


@each_fill
def test_the_same_packets_and_actions_give_the_same_latents(name: str) -> None:
    assert run(new_fill(name)).tobytes() == run(new_fill(name)).tobytes()


@each_fill
def test_after_a_reset_nothing_of_the_last_episode_is_left(name: str) -> None:
    fill = new_fill(name)
    fresh = run(fill)
    fill.reset()
    assert run(fill).tobytes() == fresh.tobytes()


@each_fill
def test_changing_a_returned_latent_does_not_change_the_fill(name: str) -> None:
    left_alone, disturbed = new_fill(name), new_fill(name)
    for step in range(3):
        expected = left_alone.complete(values(step), sent(step), 1, bytes([step]))
        latent = disturbed.complete(values(step), sent(step), 1, bytes([step]))
        assert latent.tobytes() == expected.tobytes()
        latent[:] = 99


def test_hold_shows_the_prior_mean_until_a_value_arrives_and_then_the_last_one() -> None:
    fill = HoldFill(MEAN)
    first = fill.complete(values(1), sent(0), 0, b"")
    assert first[4:].tobytes() == MEAN[4:].tobytes()
    second = fill.complete(values(2), sent(1), 0, b"")
    assert second[:4].tobytes() == values(1)[:4].tobytes()
    assert second[4:8].tobytes() == values(2)[4:8].tobytes()
    assert second[8:].tobytes() == MEAN[8:].tobytes()
    third = fill.complete(values(3), sent(0), 0, b"")
    assert third[:4].tobytes() == values(3)[:4].tobytes()
    assert third[4:8].tobytes() == values(2)[4:8].tobytes()


@pytest.mark.parametrize("blocks", [(), (3,), (0, 2, 5, 7)])
def test_prior_draws_follow_the_textbook_conditional_distribution(blocks: tuple[int, ...]) -> None:
    arrived = sent(*blocks) if blocks else NOTHING
    fill, given = PriorFill(MEAN, covariance()), values(4)
    count = 4000
    draws = np.stack([fill.complete(given, arrived, 0, b"\x05") for _ in range(count)])[:, ~arrived].astype(np.float64)
    # By the precision matrix, an independent road to the formula: cov = P_mm^-1, mean = mu_m - P_mm^-1 P_ms (x - mu).
    precision = np.linalg.inv(covariance().astype(np.float64))
    expected_covariance = np.linalg.inv(precision[np.ix_(~arrived, ~arrived)])
    pull = expected_covariance @ precision[np.ix_(~arrived, arrived)] @ (given - MEAN)[arrived]
    expected_mean = MEAN[~arrived] - pull
    spread = np.sqrt(np.diag(expected_covariance))
    assert (np.abs(draws.mean(axis=0) - expected_mean) < 5 * spread / np.sqrt(count)).all()
    error = np.sqrt((np.outer(spread, spread) ** 2 + expected_covariance**2) / count)
    assert (np.abs(np.cov(draws.T) - expected_covariance) < 5 * error).all()


def test_a_prior_draw_depends_on_the_step_and_on_the_packet() -> None:
    fill = PriorFill(MEAN, covariance())
    first, second = (fill.complete(values(0), sent(0), 0, b"\x01") for _ in range(2))
    other = PriorFill(MEAN, covariance()).complete(values(0), sent(0), 0, b"\x02")
    assert (first[4:] != second[4:]).all()
    assert (first[4:] != other[4:]).all()


def test_a_prior_draw_does_not_touch_the_global_generators() -> None:
    np.random.seed(1)
    torch_before = torch.get_rng_state()
    run(PriorFill(MEAN, covariance()))
    after = np.random.random()
    np.random.seed(1)
    assert after == np.random.random()
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_a_prior_draw_is_the_same_whatever_signs_lapack_gives_to_eigenvectors(monkeypatch: pytest.MonkeyPatch) -> None:
    here = run(PriorFill(MEAN, covariance()))
    eigh = np.linalg.eigh

    def another_lapack(matrix: Any) -> Any:
        eigenvalues, eigenvectors = eigh(matrix)
        return eigenvalues, eigenvectors * np.resize([1.0, -1.0, -1.0], len(eigenvalues))

    monkeypatch.setattr(np.linalg, "eigh", another_lapack)
    assert np.allclose(run(PriorFill(MEAN, covariance())), here, atol=1e-4)


def test_predict_shows_the_mean_first_and_then_what_the_world_model_expects() -> None:
    model = world_model()
    fill = PredictFill(model, MEAN)
    first = fill.complete(values(0), sent(2), 0, b"")
    assert first[~sent(2)].tobytes() == MEAN[~sent(2)].tobytes()
    hidden = torch.zeros(1, HIDDEN)
    shown = first
    for step, action in ((1, 0), (2, 2), (3, 1)):
        hidden, expected = model(torch.from_numpy(shown)[None], torch.tensor([action]), hidden)
        shown = fill.complete(values(step), sent(step), action, b"")
        assert np.allclose(shown[~sent(step)], expected[0].numpy()[~sent(step)], atol=1e-5)


def test_predict_takes_the_drivers_action_into_account() -> None:
    left, right = (PredictFill(world_model(), MEAN) for _ in range(2))
    for step, turn in enumerate((0, 1)):
        one = left.complete(values(step), sent(0), 1 - turn, b"")
        other = right.complete(values(step), sent(0), 1 + turn, b"")
    assert (one[4:] != other[4:]).any()


@pytest.mark.parametrize("steps", [1, 6, 20])
def test_holding_a_whole_episode_at_once_gives_what_holding_step_by_step_does(steps: int) -> None:
    shown = np.stack([values(step) for step in range(steps)])
    arrived = np.stack([sent(step % 8, (step + 3) % 8) for step in range(steps)])
    together = HoldFill(MEAN).complete_all(shown, arrived)
    assert together.tobytes() == run(HoldFill(MEAN), steps).tobytes()
