"""A fitted person, for tests that need the file and not what is in it."""

from __future__ import annotations

from racer.drivers.person import HeldOut, PersonFile, Traits

TRAITS = Traits(
    reaction_ms=200.0,
    look_ahead=12.0,
    gain=1.2,
    damping=0.6,
    anticipation=0.9,
    dead_zone=0.1,
    noise=0.03,
    lapses=0.2,
)
PERSON = PersonFile(
    tasks=("car-racing",),
    traits=TRAITS,
    reaction_low_ms=150.0,
    reaction_high_ms=250.0,
    pace=10.0,
    episodes=2,
    steps=60,
    of_a_person=False,
    held_out=HeldOut(
        steps=24, log_likelihood=-0.5, family_log_likelihood=-0.6, frequencies_log_likelihood=-0.9, families={}
    ),
    checks=(),
    human_like=False,
)
