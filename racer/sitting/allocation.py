"""Who gets which name and which order of conditions, given who has driven and who is driving."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import sessions
from racer.sitting.inventory import MOST_ORDER, InventoryEntry

SESSION_ID = re.compile(r"[0-9a-f]{6}", re.ASCII)


@dataclass(frozen=True)
class Lease:
    """One session that runs. Malformed fields raise ValueError."""

    session_id: str
    """6 hexadecimal digits."""
    participant: str
    protocol: str
    order: int
    """Order of conditions, 0 or more."""
    trial_run: bool
    """Whether it is a trial run, which takes no order from anybody."""
    host: str
    """Name of the machine."""
    started_utc: str
    """ISO 8601 ending in `Z`."""

    def __post_init__(self) -> None:
        texts = (self.session_id, self.participant, self.protocol, self.host, self.started_utc)
        if not all(isinstance(text, str) and len(text) <= 255 for text in texts) or not isinstance(
            self.trial_run, bool
        ):
            raise ValueError("a lease must hold short texts and a truth value")
        if not SESSION_ID.fullmatch(self.session_id):
            raise ValueError("a session id must be 6 hexadecimal digits")
        sessions.check_name("participant", self.participant)
        sessions.check_name("protocol", self.protocol)
        if type(self.order) is not int or not 0 <= self.order <= MOST_ORDER:
            raise ValueError(f"order must lie between 0 and {MOST_ORDER}")


def least_given(given: Iterable[int], orders: int) -> int:
    """Return the order that was given least often, of those the lowest.

    Args:
        given: Order of each other participant, 0 or more; counted around where it exceeds `orders`.
        orders: Number of orders, 1 or more.
    """
    counts = Counter(order % orders for order in given)
    return min(range(orders), key=lambda order: (counts[order], order))


def given_orders(
    participant: str, protocol: str, entries: Iterable[InventoryEntry], live: Iterable[Lease]
) -> Iterable[int]:
    """Return the order of each other participant who has completed the protocol or is driving it."""
    given: dict[str, int] = {}
    for entry in entries:
        if entry.protocol == protocol and entry.complete and not entry.trial_run and entry.order is not None:
            given[entry.participant] = entry.order
    for lease in live:
        if lease.protocol == protocol and not lease.trial_run:
            given[lease.participant] = lease.order
    given.pop(participant, None)
    return given.values()


def next_name(prefix: str, used: Collection[str], highest: int, gone: Callable[[str], bool]) -> str:
    """Return the name after the highest number used: a name never stands for a second person.

    Args:
        prefix: What names begin with.
        used: Names of those who are there.
        highest: Number that is remembered as given, 0 for none.
        gone: Whether somebody of a name has withdrawn.
    """
    pattern = re.compile(re.escape(prefix) + r"(\d{1,6})", re.ASCII)
    numbers = (int(match[1]) for name in used if (match := pattern.fullmatch(name)))
    number = max((highest, *numbers)) + 1
    while (name := f"{prefix}{number:02d}") in used or gone(name):
        number += 1
    return name


def lease_of(entry: InventoryEntry | None) -> Lease | None:
    """Return the lease that a recording speaks of; the machine and the time are unknown."""
    if entry is None:
        return None
    return Lease(entry.session_id, entry.participant, entry.protocol, entry.order or 0, entry.trial_run, "", "")
