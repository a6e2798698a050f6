from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from racing_builders import Clock

from racer.loop.pacing import Pacer

MS = 1_000_000


def run(pacer: Pacer, clock: Clock, late_ms: list[float], pauses_ms: dict[int, int] | None = None) -> list[int]:
    """Take one step per entry, each next frame shown that much after its beat; return when the frames were shown."""
    shown = []
    pacer.begin()
    for step, late in enumerate(late_ms):
        pacer.shown(clock())
        shown.append(clock())
        clock.now_ns += 3 * MS
        decide_at = pacer.decide_at()
        pause = (pauses_ms or {}).get(step, 0) * MS
        clock.now_ns = max(clock(), decide_at) + pause
        pacer.paused(pause)
        clock.now_ns += 2 * MS
        clock.now_ns = max(clock(), pacer.show_at()) + round(late * MS)
    pacer.shown(clock())
    return [*shown, clock()]


@given(rate=st.sampled_from([3.0, 7.0, 10.0, 30.0, 50.0]), start=st.integers(0, 2**40))
def test_a_steady_loop_keeps_the_beat_exactly_and_never_drifts(rate: float, start: int) -> None:
    clock = Clock()
    clock.now_ns = start
    pacer = Pacer(rate, clock)
    shown = run(pacer, clock, [0.0] * 200)
    assert shown == [start + step * pacer.period_ns for step in range(201)]
    assert abs(shown[-1] - start - 200e9 / rate) <= 100
    assert pacer.summary().overruns == 0


@pytest.mark.parametrize("rate", [10.0, 50.0])
def test_the_driver_decides_shortly_before_the_next_frame_is_due(rate: float) -> None:
    clock = Clock()
    pacer = Pacer(rate, clock)
    pacer.begin()
    assert 2 * pacer.period_ns / 5 <= pacer.decide_at() <= pacer.show_at() - 5 * MS


def test_small_lateness_within_a_step_is_caught_up_not_added_up() -> None:
    clock = Clock()
    shown = run(Pacer(10.0, clock), clock, [1.0] * 100)
    assert shown[-1] == 100 * 100 * MS + 1 * MS


def test_a_step_later_than_a_whole_period_moves_the_beat_instead_of_hurrying_the_next() -> None:
    clock = Clock()
    pacer = Pacer(10.0, clock)
    shown = run(pacer, clock, [0, 0, 250, 0, 0, 0])
    late = shown[3]
    assert late == (300 + 250) * MS
    # The step under way when the beat was missed ends at once; from there on it goes as ever.
    assert shown[4] - late < 100 * MS
    assert [after - shown[4] for after in shown[5:]] == [100 * MS, 200 * MS]


def test_every_step_over_two_milliseconds_late_is_counted_and_no_other() -> None:
    clock = Clock()
    pacer = Pacer(10.0, clock)
    run(pacer, clock, [0, 1.9, 0, 2.1, 0, 40, 0])
    summary = pacer.summary()
    assert (summary.rate, summary.steps, summary.overruns) == (10.0, 7, 2)
    assert summary.median_ms == 100
    assert 130 < summary.p99_ms <= 140


def test_a_pause_counts_neither_as_a_step_nor_as_an_overrun_and_moves_the_beat_by_its_length() -> None:
    clock = Clock()
    pacer = Pacer(10.0, clock)
    shown = run(pacer, clock, [0] * 6, pauses_ms={2: 7000})
    steps = [later - earlier for earlier, later in pairwise(shown)]
    assert steps == [7100 * MS if step == 2 else 100 * MS for step in range(6)]
    assert set(pacer.durations_ns) == {100 * MS}
    assert pacer.summary().overruns == 0


def test_time_between_episodes_is_no_step() -> None:
    clock = Clock()
    pacer = Pacer(50.0, clock)
    run(pacer, clock, [0] * 5)
    clock.now_ns += 60_000 * MS
    shown = run(pacer, clock, [0] * 5)
    assert shown[1] - shown[0] == 20 * MS
    assert pacer.durations_ns == [20 * MS] * 10


def test_the_summary_reads_as_one_line_also_of_nothing() -> None:
    clock = Clock()
    pacer = Pacer(10.0, clock)
    assert str(pacer.summary()) == "no steps timed"
    run(pacer, clock, [0, 0, 55])
    assert str(pacer.summary()) == "3 steps at 10 Hz: median 100.0 ms, 99 % within 153.9 ms, 1 overran"


@pytest.mark.parametrize(("rate", "period"), [(1.0, 10**9), (50.0, 20 * MS), (30.0, 33_333_333)])
def test_the_period_is_the_rates_inverse(rate: float, period: int) -> None:
    assert Pacer(rate, Clock()).period_ns == period
