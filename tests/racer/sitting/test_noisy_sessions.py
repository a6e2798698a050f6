"""Sittings over a noisy channel: what arrived is recorded, and what was shown comes out of it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sessions
from compression.noise import NoiseName
from racer.loop.conditions import ChannelConfig
from racer.recordings.minari_export import export_minari
from racer.recordings.verification import verify_recordings
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session

STEPS = 12


def record(
    folder: Path,
    noise: NoiseName,
    rate: float,
    conditions: tuple[str, ...] = ("random", "pico", "full"),
    masks: tuple[Path, ...] = (),
    **channel: Any,
) -> Path:
    result = start_session(
        StartConfig(
            participant="p01",
            protocol=ProtocolConfig("evaluation", practice=1, evaluation=1, steps=STEPS, conditions=conditions),
            channel=ChannelConfig(noise=noise, noise_rate=rate, **channel),
            driver="simulated",
            headless=True,
            masks=masks,
            data=folder,
        )
    )
    assert result.path is not None
    return result.path


def packets(path: Path) -> list[list[bytes | None]]:
    """Return what arrived, episode by episode; None for what was lost."""
    with sessions.open(path) as session:
        return [
            [row.tobytes() if came else None for row, came in zip(episode.packet, episode.arrived, strict=True)]
            for episode in session.episodes
        ]


@pytest.mark.parametrize("fill", ["hold", "prior", "predict"])
@pytest.mark.parametrize(("noise", "rate"), [("erasures", 0.4), ("flips", 0.05), ("gaussian", 0.6)])
def test_a_noisy_recording_verifies_and_what_was_shown_comes_out_of_it(
    noise: NoiseName, rate: float, fill: str, tmp_path: Path
) -> None:
    path = record(tmp_path, noise, rate, ("raw", "random", "full"), mask_interval="step", fill=fill)
    (verified,) = verify_recordings([path], jobs=1).recordings
    assert {f.check: f.detail for f in verified.findings if f.outcome == "fail"} == {}
    assert {f.outcome for f in verified.findings if f.check in ("packets", "received", "masks")} == {"ok"}


@pytest.mark.parametrize("late", [{"action_delay": 3}, {"action_loss": 1.0}, {"action_loss": 0.3}])
def test_what_was_shown_comes_out_of_a_recording_whose_sender_learnt_of_actions_late(
    late: dict[str, Any], tmp_path: Path
) -> None:
    path = record(tmp_path, "none", 0.0, ("predictive",), fill="predict", **late)
    (verified,) = verify_recordings([path], jobs=1).recordings
    assert {f.check: f.detail for f in verified.findings if f.outcome == "fail"} == {}
    assert {f.outcome for f in verified.findings if f.check == "received"} == {"ok"}
    with sessions.open(path) as session:
        told = session.info.config["channel"]
    assert {name: told[name] for name in late} == late
    assert len(told) == 5 + len(late), "a recording whose actions came at once says nothing of it"


@pytest.mark.parametrize(("noise", "rate"), [("none", 0.0), ("erasures", 0.3), ("flips", 0.001)])
def test_pictures_that_exceed_the_slot_verify_and_are_charged_their_real_bytes(
    noise: NoiseName, rate: float, tmp_path: Path
) -> None:
    path = record(tmp_path, noise, rate, ("jpeg", "webp"))
    (verified,) = verify_recordings([path], jobs=1).recordings
    assert {f.check: f.detail for f in verified.findings if f.outcome == "fail"} == {}
    with sessions.open(path) as session:
        for episode in session.episodes[1:]:
            assert (episode.bits % 8 == 0).all()
            assert len(set(episode.bits.tolist())) > 1
            assert episode.bits.max() <= episode.info.bits_per_step


def test_lost_packets_carry_no_block_cost_what_they_cost_and_are_recorded_as_zeros_that_did_not_arrive(
    tmp_path: Path,
) -> None:
    with sessions.open(record(tmp_path, "erasures", 0.4)) as session:
        for episode in session.episodes:
            assert episode.info.noisy
            lost = ~episode.arrived
            assert 0 < lost.sum() < STEPS
            assert not episode.mask[lost].any() and not episode.packet[lost].any()
            assert episode.mask[~lost].any(axis=1).all() and episode.packet[~lost].any(axis=1).all()
            assert set(episode.bits.tolist()) == {episode.info.bits_per_step}
            assert episode.info.packet_bytes == (22 if episode.info.condition == "full" else 11)


def test_without_noise_everything_arrives_and_the_recording_says_that_nothing_could_be_lost(tmp_path: Path) -> None:
    with sessions.open(record(tmp_path, "none", 0.0)) as session:
        for episode in session.episodes:
            assert episode.arrived.all() and not episode.info.noisy


def test_the_sittings_seed_decides_the_noise_and_each_episode_has_its_own(tmp_path: Path) -> None:
    first, again = (packets(record(tmp_path / name, "erasures", 0.4)) for name in ("a", "b"))
    assert first == again
    losses = [[packet is None for packet in episode] for episode in first]
    assert len({tuple(episode) for episode in losses}) == len(losses)


def test_noise_leaves_the_random_masks_as_they_are(tmp_path: Path) -> None:
    quiet = record(tmp_path / "quiet", "none", 0.0, ("random",))
    noisy = record(tmp_path / "noisy", "erasures", 0.2, ("random",))
    with sessions.open(quiet) as one, sessions.open(noisy) as other:
        masks = other.episodes[-1].mask
        arriving = masks.any(axis=1)
        assert arriving.any()
        assert (masks[arriving] == one.episodes[-1].mask[0]).all()


def test_a_noisy_recording_is_exported_with_the_last_frame_repeated(tmp_path: Path) -> None:
    written = export_minari([record(tmp_path, "erasures", 0.3, ("random",))], tmp_path / "noisy-v0")
    assert written.last_repeated == written.episodes == 2
