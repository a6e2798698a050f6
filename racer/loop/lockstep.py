"""Work that asks for a latent model as it goes: answered frame by frame, or much of it in lockstep.

A frame takes about three times as long to encode and decode alone as in company, so that what runs in lockstep shares
the model, and nothing else: each has its own trial, driver, channel and random stream, and a place that is freed is
taken by the next. The model always gets groups of `GROUP` frames, filled up with empty ones, because sums come out
differently in the last bit in batches of other sizes. What each comes to therefore depends on nothing beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from racer.loop.episode import Decode, Encode

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

Result = TypeVar("Result")
Stepwise = Generator[Encode | Decode, Any, Result]
"""Asks for the latent of a frame, or the frame of a latent, and goes on once it has it."""
GROUP = 16
"""Frames that pass the model together."""
LANES = GROUP
"""What is under way at a time."""


def alone(work: Stepwise[Result], model: LatentModel) -> Result:
    """Answer frame by frame and return what it comes to; what goes wrong with the model is raised where it asked."""
    try:
        request = next(work)
        while True:
            answer: Any
            try:
                if isinstance(request, Encode):
                    answer = model.encode_frame(request.frame)
                else:
                    answer = model.decode_latent(request.latent)
            except BaseException as error:
                request = work.throw(error)
            else:
                request = work.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        work.close()


def in_lockstep(
    work: Iterable[Stepwise[Result]], model: LatentModel, *, lanes: int = LANES, group: int = GROUP
) -> Iterator[Result]:
    """Do all of it and yield what each comes to, in order.

    Args:
        work: Taken one by one as places become free.
        model: Answers.
        lanes: How many are under way at a time. No result depends on it.
        group: Frames that pass the model together; results may differ in the last bit with another.

    Raises:
        Whatever one of them raises; the others under way are closed.
    """
    waiting = enumerate(work)
    under_way: list[_Lane[Result]] = []
    finished: dict[int, Result] = {}
    due = 0
    try:
        while True:
            while len(under_way) < lanes and (following := next(waiting, None)) is not None:
                under_way.append(_Lane(*following))
                under_way[-1].answer(None)
            if not under_way:
                return
            _advance(under_way, model, group)
            for lane in [lane for lane in under_way if lane.request is None]:
                under_way.remove(lane)
                finished[lane.number] = lane.result
            while due in finished:
                yield finished.pop(due)
                due += 1
    finally:
        with ExitStack() as closing_all:
            for lane in under_way:
                closing_all.callback(lane.work.close)


def in_groups(
    work: Callable[[NDArray[Any]], NDArray[Any]], items: Sequence[NDArray[Any]], group: int = GROUP
) -> list[NDArray[Any]]:
    """Return what a model makes of items, each of one shape and dtype; none depends on the others."""
    done: list[NDArray[Any]] = []
    for start in range(0, len(items), group):
        part = items[start : start + group]
        padded = np.zeros((group, *part[0].shape), part[0].dtype)
        np.stack(part, out=padded[: len(part)])
        done += list(work(padded)[: len(part)])
    return done


class _Lane(Generic[Result]):
    """One that is under way."""

    request: Encode | Decode | None
    """What it asks for; None once it is over."""
    result: Result
    """What it came to, once it is over."""

    def __init__(self, number: int, work: Stepwise[Result]) -> None:
        self.number, self.work = number, work

    def answer(self, answer: Any) -> None:
        """Give what was asked for."""
        try:
            self.request = self.work.send(answer)
        except StopIteration as end:
            self.request, self.result = None, end.value


def _advance(lanes: Sequence[_Lane[Any]], model: LatentModel, group: int) -> None:
    """Answer what all lanes ask for: first the frames to encode together, then the latents to decode."""
    encoding = [(lane, lane.request.frame) for lane in lanes if isinstance(lane.request, Encode)]
    latents = in_groups(model.encode_frames, [frame for _, frame in encoding], group)
    for (lane, _), latent in zip(encoding, latents, strict=True):
        lane.answer(latent)
    decoding = [(lane, lane.request.latent) for lane in lanes if isinstance(lane.request, Decode)]
    frames = in_groups(model.decode_latents, [latent for _, latent in decoding], group)
    for (lane, _), frame in zip(decoding, frames, strict=True):
        lane.answer(frame)
