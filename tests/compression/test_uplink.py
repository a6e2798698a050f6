"""What the sender's end learns of the actions, and that a coder's ends agree about it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.channel import InProcess, ReceiverEnd, SenderEnd
from compression.coders.coder import CoderSettings, find_coder
from compression.errors import NoiseError
from compression.model.latent_model import LatentModel
from compression.noise import Link
from compression.uplink import Uplink

ACTIONS = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@given(ACTIONS, st.integers(0, 5))
def test_actions_come_so_many_steps_late_and_the_first_is_known_beforehand(actions: list[int], delay: int) -> None:
    uplink = Uplink(delay)
    for _ in range(2):
        uplink.reset()
        told = [uplink.tell(action) for action in actions]
        assert told == [actions[0]] * min(delay, len(actions)) + actions[: max(len(actions) - delay, 0)]


@given(ACTIONS, st.integers(0, 5), st.floats(0, 1), st.integers(0, 99))
def test_what_is_told_is_never_newer_than_the_delay_nor_made_up(
    actions: list[int], delay: int, loss: float, seed: int
) -> None:
    uplink = Uplink(delay, loss, np.random.default_rng(seed))
    for step, action in enumerate(actions):
        assert uplink.tell(action) in actions[: max(step - delay, 0) + 1]


def test_as_many_are_lost_as_the_rate_says_and_all_of_them_at_one() -> None:
    uplink = Uplink(0, 0.25, np.random.default_rng(0))
    uplink.tell(0)
    told = [uplink.tell(number) for number in range(1, 4001)]
    assert 0.22 < np.mean([known != number for number, known in enumerate(told, 1)]) < 0.28
    never = Uplink(2, 1.0)
    assert {never.tell(number) for number in range(20)} == {0}


@pytest.mark.parametrize(("delay", "loss"), [(-1, 0.0), (6, 0.0), (0, -0.1), (0, 1.5), (0, float("nan"))])
def test_what_no_uplink_can_be_is_refused(delay: int, loss: float) -> None:
    with pytest.raises(NoiseError, match="must lie between 0 and"):
        Uplink(delay, loss)


@pytest.mark.parametrize("delay", [0, 3, None])
def test_both_ends_of_a_closed_loop_go_by_the_actions_that_the_sender_knows(
    model: LatentModel, delay: int | None
) -> None:
    coder = find_coder("predictive")
    settings = CoderSettings(5, "episode", "hold", np.random.default_rng(0), coder.read_shipped(model), delay)
    sender = coder.sender(model, settings)
    near = SenderEnd(sender, 5, uplink=Uplink(delay or 0, float(delay is None)))
    far = ReceiverEnd(coder.receiver(model, settings))
    rng, latent = np.random.default_rng(3), model.mean.copy()
    for _ in range(2):
        near.reset()
        far.reset()
        for _ in range(12):
            latent = (0.95 * latent + rng.normal(0, 0.2, 32)).astype(np.float32)
            downlink = near.advance_latent(latent, int(rng.integers(3)))
            received = far.take(InProcess(Link("none", 0.0, rng)).carry(downlink))
            assert received.latent.tobytes() == sender._replica.latent.tobytes()  # type: ignore[attr-defined]
