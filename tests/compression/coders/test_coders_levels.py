"""Allocation of levels, the mixed-radix integer, and what the single coders do with them."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.coders.coarse import SHIPPED, coarse_levels, load_coarse
from compression.coders.coder import CoderSettings, find_coder
from compression.coders.hold_last import slots_of
from compression.coders.radix import allocate, gaussian_losses, symbols_from_value, value_from_symbols
from compression.coders.rl_allocation import SHAPES, Menu, menu_for
from compression.coders.road import road_of, road_overlap
from compression.errors import CoderError, PacketError, SlotError, TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.pico_rate import fit_drivers, fit_pico_rate
from compression.fitting.recorded import RecordedEpisode
from compression.fitting.rl_allocation import AllocationConfig, fit_rl_allocation
from compression.model.latent_model import load_codec


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


def test_the_coarse_levels_use_up_the_slot() -> None:
    model = load_coarse(SHIPPED, load_codec().sha256)
    for bits in (1, 5, 18, 85, 170):
        levels = coarse_levels(model, bits)
        assert len(levels) == 32
        assert 2 ** (bits - 1) < prod(levels) <= 2**bits


def test_hold_last_shows_a_picture_only_when_all_its_parts_are_there() -> None:
    codec, coder, bits = load_codec(), find_coder("hold-last"), 20
    model = load_coarse(SHIPPED, codec.sha256)
    settings = CoderSettings(bits, "episode", "hold", np.random.default_rng(0), model)
    sender, receiver = coder.sender(codec, settings), coder.receiver(codec, settings)
    assert slots_of(bits) == 3
    latent = np.full(32, 1.5, np.float32)
    shown = [receiver.take(sender.send(latent, 0), 0) for _ in range(3)]  # type: ignore[attr-defined]
    assert (shown[1] == codec.mean).all() and (shown[2] != codec.mean).any()
    packets = [sender.send(-latent, 0) for _ in range(3)]  # type: ignore[attr-defined]
    for lost, packet in enumerate(packets):
        assert (receiver.take(None if lost == 1 else packet, 0) == shown[2]).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["coarse", "hold-last", "pico-rate", "predictive", "rl-allocation"])
def test_a_coder_without_its_fitted_file_says_so(name: str) -> None:
    with pytest.raises(CoderError, match="needs"):
        find_coder(name).sender(load_codec(), CoderSettings(12, "episode", "hold", np.random.default_rng(0)))


@pytest.mark.parametrize("bits", [5, 6, 8, 12, 18, 42, 85, 170])
def test_every_allocation_on_the_menu_can_be_reached_packed_and_told_from_the_others(bits: int) -> None:
    menu, rng = Menu(bits), np.random.default_rng(bits)
    for index in {0, 1, len(menu.choices) - 1, *rng.integers(len(menu.choices), size=20).tolist()}:
        chosen = menu.choices[index]
        most = (1 << int(4 * np.array(menu.depths)[chosen].sum())) - 1
        for payload in {0, most}:
            value = menu.pack(chosen, payload)
            assert value < 1 << bits
            unpacked, said = menu.unpack(value)
            assert (unpacked == chosen).all() and said == payload
        for block, choice in enumerate(chosen):
            assert menu.fitting(chosen[None, :block])[0, choice]


@given(st.integers(5, 170), st.integers(0, 2**32))
@settings(max_examples=30)
def test_whatever_the_agent_picks_of_what_fits_is_on_the_menu(bits: int, seed: int) -> None:
    menu, rng = menu_for(bits), np.random.default_rng(seed)
    chosen = np.zeros((1, 8), np.int8)
    for block in range(8):
        fitting = np.flatnonzero(menu.fitting(chosen[:, :block])[0])
        assert len(fitting), f"nothing fits after {chosen[0, :block]}"
        chosen[0, block] = rng.choice(fitting)
    assert menu.pack(chosen[0], 0).bit_length() <= bits


def test_the_menu_offers_as_much_as_the_slot_has_room_for() -> None:
    assert len(Menu(5).choices) == 2  # nothing, or the first block at two levels
    assert Menu(8).choices.sum(axis=1).max() == 1 and len(Menu(8).choices) == 9  # or any one block
    assert len(Menu(170).choices) == 4**8
    with pytest.raises(SlotError):
        Menu(4)


def test_a_value_beyond_the_menu_is_no_packet() -> None:
    last = Menu(8).pack(Menu(8).choices[-1], 15)
    assert last < 255
    with pytest.raises(PacketError):
        Menu(8).unpack(last + 1)


def test_road_is_what_is_not_green() -> None:
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[..., 1] = 204
    frames[0, :, :32] = 105
    frames[1, :, 16:48] = 105
    assert road_of(frames[0]).sum() == 64 * 32
    np.testing.assert_allclose(road_overlap(frames[:1], frames[1:]), [1 / 3])
    np.testing.assert_allclose(road_overlap(frames[:1], frames[:1]), [1])


def pilot(seed: int, feature: int) -> RecordedEpisode:
    """A driver who looks at one feature alone."""
    latents = np.random.default_rng(seed).normal(size=(60, 32)).astype(np.float32)
    actions = np.sign(np.round(1.5 * latents[:, feature])).clip(-1, 1).astype(np.int8)
    return RecordedEpisode(latents, latents, actions, np.ones((60, 8), bool), original=True)


def test_pico_rate_spends_its_bits_on_the_feature_that_the_driver_looks_at() -> None:
    config = PicoConfig(iterations=100, members=1)
    episodes = [pilot(seed, 21) for seed in range(6)]
    losses = fit_pico_rate(episodes, load_codec(), config)[0]["losses"]
    assert (np.diff(losses, axis=1) <= 1e-7).all()
    assert int(np.argmax(losses[:, 0])) == 21
    assert int(np.argmax(allocate(losses.astype(np.float64), 4))) == 21


def test_the_same_recordings_and_seed_give_the_same_levels() -> None:
    config = PicoConfig(iterations=5, members=1)
    first, second = (fit_pico_rate([pilot(0, 3), pilot(1, 3)], load_codec(), config)[0]["losses"] for _ in range(2))
    assert (first == second).all()


def test_the_model_of_the_driver_repeats_whatever_was_drawn_before() -> None:
    config, episodes, codec = PicoConfig(iterations=5, members=1), [pilot(0, 3), pilot(1, 3)], load_codec()
    weights = []
    for drawn in (1, 2):
        torch.rand(drawn)
        (member,) = fit_drivers(episodes, codec, config).drivers.members
        weights.append(torch.cat([parameter.detach().flatten() for parameter in member.parameters()]))
    assert torch.equal(*weights)


def test_pico_rate_needs_more_than_one_episode() -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        fit_pico_rate([pilot(0, 3)], load_codec(), PicoConfig())


def test_the_agent_s_fit_repeats_itself() -> None:
    latents = np.random.default_rng(0).normal(size=(3, 40, 32)).astype(np.float32)
    config = AllocationConfig(rounds=2, drives=2, codings=2)
    first, second = (fit_rl_allocation(latents, load_codec(), config) for _ in range(2))
    assert {name: value.shape for name, value in first.items()} == SHAPES
    assert all((first[name] == second[name]).all() for name in first)
