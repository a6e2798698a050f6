"""Allocation of levels, the mixed-radix integer, and what the single coders do with them."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compression.coders.coarse import coarse_levels
from compression.coders.coder import CoderSettings, find_coder
from compression.coders.hold_last import slots_of
from compression.coders.levels import allocate, gaussian_losses
from compression.coders.packing import symbols_from_value, value_from_symbols
from compression.coders.rl_allocation import Menu, least_bits, menu_for, shapes_for
from compression.errors import CoderError, PacketError, SlotError, TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.pico_rate import fit_drivers, fit_pico_rate
from compression.fitting.recorded import RecordedEpisode
from compression.fitting.rl_allocation import AllocationConfig, fit_rl_allocation
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes

SIZES = Sizes((64, 64, 3), latents=32, blocks=8, actions=3, hidden=256, dense=512)
MENUS = [SIZES, *(Sizes((8, 8, 1), latents, blocks, 2, 0, 4) for latents, blocks in ((12, 4), (16, 8), (6, 2)))]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=32), st.data())
def test_symbols_come_back_from_the_integer(levels: list[int], data: st.DataObject) -> None:
    symbols = [data.draw(st.integers(0, count - 1)) for count in levels]
    value = value_from_symbols(symbols, tuple(levels))
    assert 0 <= value < prod(levels)
    assert symbols_from_value(value, tuple(levels)) == symbols


def test_an_integer_beyond_the_levels_is_no_message() -> None:
    with pytest.raises(PacketError):
        symbols_from_value(6, (2, 3))


@given(st.integers(1, 200), st.integers(0, 1000))
def test_levels_fit_the_slot_and_the_larger_variance_gets_no_fewer(bits: int, seed: int) -> None:
    variances = np.random.default_rng(seed).exponential(size=8)
    levels = np.array(allocate(gaussian_losses(variances), bits))
    assert prod(levels.tolist()) <= 2**bits
    assert levels.max() > 1
    order = np.argsort(-variances)
    assert levels[order[0]] >= levels[order[-1]]


def test_a_slot_of_all_bits_gives_every_feature_all_levels() -> None:
    assert allocate(gaussian_losses(np.ones(4)), 24) == (64,) * 4


def test_the_coarse_levels_use_up_the_slot(model: LatentModel) -> None:
    fitted = find_coder("coarse").read_shipped(model)
    assert fitted is not None
    for bits in (1, 5, 18, 85, 170):
        levels = coarse_levels(fitted, bits)
        assert len(levels) == 32
        assert 2 ** (bits - 1) < prod(levels) <= 2**bits


@pytest.mark.parametrize(("bits", "slots"), [(1, 60), (7, 9), (12, 5), (20, 3), (59, 2), (60, 1), (85, 1)])
def test_hold_last_takes_as_many_slots_as_sixty_bits_do(bits: int, slots: int) -> None:
    assert slots_of(bits, SIZES) == slots


def test_hold_last_shows_a_picture_only_when_all_its_parts_are_there(model: LatentModel) -> None:
    coder, bits = find_coder("hold-last"), 20
    settings = CoderSettings(bits, "episode", "hold", np.random.default_rng(0), coder.read_shipped(model))
    sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
    latent = np.full(32, 1.5, np.float32)
    shown = [receiver.take(sender.send(latent, 0), 0) for _ in range(3)]  # type: ignore[attr-defined]
    assert (shown[1] == model.mean).all() and (shown[2] != model.mean).any()
    packets = [sender.send(-latent, 0) for _ in range(3)]  # type: ignore[attr-defined]
    for lost, packet in enumerate(packets):
        assert (receiver.take(None if lost == 1 else packet, 0) == shown[2]).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["coarse", "hold-last", "pico-rate", "predictive", "rl-allocation"])
def test_a_coder_without_its_fitted_file_says_so(name: str, model: LatentModel) -> None:
    with pytest.raises(CoderError, match="needs"):
        find_coder(name).sender(model, CoderSettings(12, "episode", "hold", np.random.default_rng(0)))


@pytest.mark.parametrize("sizes", MENUS)
@pytest.mark.parametrize("bits", [5, 6, 8, 12, 18, 42, 85, 170])
def test_every_allocation_on_the_menu_can_be_reached_packed_and_told_from_the_others(bits: int, sizes: Sizes) -> None:
    menu, rng = Menu(bits, sizes), np.random.default_rng(bits)
    for index in {0, 1, len(menu.choices) - 1, *rng.integers(len(menu.choices), size=20).tolist()}:
        chosen = menu.choices[index]
        most = (1 << int(sizes.block_size * np.array(menu.depths)[chosen].sum())) - 1
        for payload in {0, most}:
            value = menu.pack(chosen, payload)
            assert value < 1 << bits
            unpacked, said = menu.unpack(value)
            assert (unpacked == chosen).all() and said == payload
        for block, choice in enumerate(chosen):
            assert menu.fitting(chosen[None, :block])[0, choice]


@given(st.integers(5, 170), st.sampled_from(MENUS), st.integers(0, 2**32))
@settings(max_examples=30)
def test_whatever_the_agent_picks_of_what_fits_is_on_the_menu(bits: int, sizes: Sizes, seed: int) -> None:
    menu, rng = menu_for(bits, sizes), np.random.default_rng(seed)
    chosen = np.zeros((1, sizes.blocks), np.int8)
    for block in range(sizes.blocks):
        fitting = np.flatnonzero(menu.fitting(chosen[:, :block])[0])
        assert len(fitting), f"nothing fits after {chosen[0, :block]}"
        chosen[0, block] = rng.choice(fitting)
    assert menu.pack(chosen[0], 0).bit_length() <= bits


def test_the_menu_offers_as_much_as_the_slot_has_room_for() -> None:
    assert len(Menu(5, SIZES).choices) == 2  # nothing, or the first block at two levels
    assert Menu(8, SIZES).choices.sum(axis=1).max() == 1 and len(Menu(8, SIZES).choices) == 9  # or any one block
    assert len(Menu(170, SIZES).choices) == 4**8


@pytest.mark.parametrize("sizes", MENUS)
def test_the_least_slot_has_room_for_the_first_block_or_nothing(sizes: Sizes) -> None:
    assert len(Menu(least_bits(sizes), sizes).choices) >= 2
    with pytest.raises(SlotError, match=f"needs {least_bits(sizes)} bits"):
        Menu(least_bits(sizes) - 1, sizes)


def test_a_model_of_too_many_blocks_is_refused_in_one_line() -> None:
    with pytest.raises(CoderError, match="at most 8 blocks, and this latent model has 16") as refusal:
        Menu(85, Sizes((8, 8, 1), 16, 16, 2, 0, 4))
    assert "\n" not in str(refusal.value)


def test_a_value_beyond_the_menu_is_no_packet() -> None:
    last = Menu(8, SIZES).pack(Menu(8, SIZES).choices[-1], 15)
    assert last < 255
    with pytest.raises(PacketError):
        Menu(8, SIZES).unpack(last + 1)


def pilot(seed: int, feature: int, sizes: Sizes = SIZES) -> RecordedEpisode:
    """A driver who looks at one feature alone."""
    latents = np.random.default_rng(seed).normal(size=(60, sizes.latents)).astype(np.float32)
    actions = (1 + np.sign(np.round(1.5 * latents[:, feature])).clip(-1, 1)).astype(np.uint8)
    return RecordedEpisode(latents, latents, actions, np.ones((60, sizes.blocks), bool), original=True)


def test_pico_rate_spends_its_bits_on_the_feature_that_the_driver_looks_at(any_model: LatentModel) -> None:
    config = PicoConfig(iterations=100, members=1)
    feature = any_model.sizes.latents - 3
    episodes = [pilot(seed, feature, any_model.sizes) for seed in range(6)]
    losses = fit_pico_rate(episodes, any_model, config)[0]["losses"]
    assert losses.shape == (any_model.sizes.latents, 64)
    assert (np.diff(losses, axis=1) <= 1e-7).all()
    assert int(np.argmax(losses[:, 0])) == feature
    assert int(np.argmax(allocate(losses.astype(np.float64), 4))) == feature


def test_the_same_recordings_and_seed_give_the_same_levels(model: LatentModel) -> None:
    config = PicoConfig(iterations=5, members=1)
    first, second = (fit_pico_rate([pilot(0, 3), pilot(1, 3)], model, config)[0]["losses"] for _ in range(2))
    assert (first == second).all()


def test_the_model_of_the_driver_repeats_whatever_was_drawn_before(model: LatentModel) -> None:
    config, episodes = PicoConfig(iterations=5, members=1), [pilot(0, 3), pilot(1, 3)]
    weights = []
    for drawn in (1, 2):
        torch.rand(drawn)
        (member,) = fit_drivers(episodes, model, config).drivers.members
        weights.append(torch.cat([parameter.detach().flatten() for parameter in member.parameters()]))
    assert torch.equal(*weights)


def test_pico_rate_needs_more_than_one_episode(model: LatentModel) -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        fit_pico_rate([pilot(0, 3)], model, PicoConfig())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"actions": np.full(60, 3)}, "actions other than 0 to 2"),
        ({"actions": np.full(60, -1)}, "actions other than 0 to 2"),
        ({"masks": np.ones((60, 4), bool)}, "other sizes"),
        ({"latents": np.zeros((60, 4), np.float32), "received": np.zeros((60, 4), np.float32)}, "other sizes"),
    ],
)
def test_episodes_of_another_model_are_refused_in_one_line(
    change: dict[str, Any], says: str, model: LatentModel
) -> None:
    wrong = replace(pilot(1, 3), **change)
    for fit in (fit_drivers, fit_pico_rate):
        with pytest.raises(TrainingError, match=says):
            fit([pilot(0, 3), wrong], model, PicoConfig())


def difference(original: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    lost: NDArray[np.float64] = (original != shown).mean(axis=(1, 2, 3))
    return lost


def test_the_agent_s_fit_repeats_itself(any_model: LatentModel) -> None:
    sizes = any_model.sizes
    latents = np.random.default_rng(0).normal(size=(3, 40, sizes.latents)).astype(np.float32)
    config = AllocationConfig(rounds=2, drives=2, codings=2)
    first, second = (fit_rl_allocation(latents, any_model, difference, config) for _ in range(2))
    assert {name: value.shape for name, value in first.items()} == shapes_for(sizes)
    assert all((first[name] == second[name]).all() for name in first)
