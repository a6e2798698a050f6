from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rates_builders import coder

from racer.drivers.registry import driver_seed
from racer.errors import ConfigError
from racer.rates.grid import NO_NOISE, Noise, RatesConfig, make_grid
from racer.rates.people import draw_person
from racer.sitting.protocol import SESSION_TRACKS


def ways(config: RatesConfig, *coders: object) -> list[tuple[str, int]]:
    cells = make_grid(config, coders).cells  # type: ignore[arg-type]
    return [(cell.way.coder, cell.way.bits) for cell in cells]


def test_raw_and_full_are_always_driven_once_and_coders_at_every_slot_that_they_can_use() -> None:
    config = RatesConfig(bits=(85, 2, 12), speeds=(50.0,), participants=1)
    assert ways(config) == [("raw", 0), ("full", 0)]
    grid = make_grid(config, [coder("one"), coder("four", least_bits=4)])
    assert [(cell.way.coder, cell.way.bits) for cell in grid.cells] == [
        ("raw", 0),
        ("full", 0),
        *(("one", bits) for bits in (2, 12, 85)),
        *(("four", bits) for bits in (12, 85)),
    ]
    (skipped,) = grid.skipped
    assert (skipped.coder, skipped.bits, skipped.reason) == ("four", (2,), "it needs 4 bits or more")


def test_a_coder_that_does_not_obey_the_slot_is_driven_once_whatever_the_slots_are() -> None:
    config = RatesConfig(bits=(1, 12), speeds=(50.0,), participants=1)
    grid = make_grid(config, [coder("jpeg", least_bits=1, padded=900)])
    assert [(cell.way.coder, cell.way.bits) for cell in grid.cells] == [("raw", 0), ("full", 0), ("jpeg", 0)]
    assert (grid.skipped, grid.soft) == ((), {"jpeg"})


def test_noise_comes_on_top_of_none_and_never_touches_raw() -> None:
    noise = (Noise("erasures", 0.1), Noise("gaussian", 1.0))
    config = RatesConfig(bits=(12,), speeds=(60.0, 50.0), noise=noise, participants=2)
    grid = make_grid(config, [coder("one")])
    for speed in (50.0, 60.0):
        of = {name: [c.way.noise for c in grid.cells if (c.way.coder, c.way.speed, c.participant) == (name, speed, 1)]
              for name in ("raw", "full", "one")}  # fmt: skip
        assert of == {"raw": [NO_NOISE], "full": [NO_NOISE, *noise], "one": [NO_NOISE, *noise]}
    assert len(set(grid.cells)) == len(grid.cells)
    assert [cell.participant for cell in grid.cells] == sorted(cell.participant for cell in grid.cells)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"participants": 0}, "participants must lie between 1 and 10000; got 0"),
        ({"tracks": 1001}, "tracks must lie between 1 and 1000; got 1001"),
        ({"steps": 0}, "steps must lie between 1 and 100000; got 0"),
        ({"seed": -1}, "seed must lie between 0 and"),
        ({"bits": ()}, "bits must be named once each, and at least one"),
        ({"bits": (5, 5)}, "bits must be named once each"),
        ({"bits": (0,)}, "bits must lie between 1 and 4096; got 0"),
        ({"speeds": (float("nan"),)}, "speeds must lie in"),
        ({"speeds": (50.0, 201.0)}, "speeds must lie in"),
        ({"noise": (Noise("flips", 0.1), Noise("flips", 0.1))}, "noise must be named once each"),
        ({"mask_interval": "hour"}, "mask interval must be episode or step; got 'hour'"),
        ({"fill": "sand"}, "fill must be one of"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        RatesConfig(**settings)  # type: ignore[arg-type]
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_coder_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="name each coder once"):
        make_grid(RatesConfig(), [coder("one"), coder("one")])


def test_noise_at_no_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="flips at a rate of 0 is no noise"):
        Noise("flips", 0.0)


@given(seed=st.integers(0, 2**63 - 1), number=st.integers(0, 10_000), tracks=st.integers(1, 20))
def test_people_follow_from_the_seed_and_are_strangers_to_sessions(seed: int, number: int, tracks: int) -> None:
    person = draw_person(seed, number, tracks)
    assert person == draw_person(seed, number, tracks)
    assert len(set(person.tracks)) == len(person.episodes) == tracks
    assert all(SESSION_TRACKS < track < 2**31 for track in person.tracks)
    assert person.seed > driver_seed("p01") and person.seed >= 2**32
    fewer = draw_person(seed, number, 1)
    assert (fewer.seed, fewer.tracks, fewer.episodes) == (person.seed, person.tracks[:1], person.episodes[:1])
    assert draw_person(seed, number + 1, tracks).tracks != person.tracks
