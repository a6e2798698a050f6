from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from compression.model.latent_model import LatentModel
from racer.loop.episode import Decode, Encode
from racer.loop.lockstep import Stepwise, alone, in_lockstep


@pytest.fixture
def closed() -> list[int]:
    return []


def drawn_again(model: LatentModel, number: int, closed: list[int], wrong: bool = False) -> Stepwise[bytes]:
    """Decode a latent and encode the frame as often as the number says; return the last latent."""
    latent = np.random.default_rng(number).standard_normal(model.sizes.latents).astype(np.float32)
    try:
        for _ in range(number):
            latent = yield Encode((yield Decode(latent[:3] if wrong else latent)))
        return latent.tobytes()
    finally:
        closed.append(number)


def test_results_come_in_order_whatever_is_done_beside_them(model: LatentModel, closed: list[int]) -> None:
    numbers = [3, 1, 0, 2, 1]
    one_by_one = [next(in_lockstep([drawn_again(model, number, closed)], model, group=4)) for number in numbers]
    for lanes in (1, 2, 5):
        work = (drawn_again(model, number, closed) for number in numbers)
        assert list(in_lockstep(work, model, lanes=lanes, group=4)) == one_by_one
    assert [alone(drawn_again(model, number, closed), model) for number in numbers] == list(
        in_lockstep((drawn_again(model, number, closed) for number in numbers), model, group=1)
    ), "a group of one is a frame by itself"
    assert len(closed) == 6 * len(numbers)


def test_what_goes_wrong_with_the_model_is_raised_where_it_was_asked(model: LatentModel, closed: list[int]) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        alone(drawn_again(model, 1, closed, wrong=True), model)
    assert closed == [1]


def test_where_one_fails_the_others_are_closed(model: LatentModel, closed: list[int]) -> None:
    def failing() -> Stepwise[bytes]:
        yield Decode(np.zeros(model.sizes.latents, np.float32))
        raise LookupError

    def work() -> Iterator[Stepwise[bytes]]:
        yield drawn_again(model, 9, closed)
        yield failing()
        yield drawn_again(model, 8, closed)

    with pytest.raises(LookupError):
        list(in_lockstep(work(), model, group=4))
    assert sorted(closed) == [8, 9]
