"""Switching what is seen while an episode runs: the quickest way to see what a condition takes away."""

from __future__ import annotations

from collections.abc import Collection, Sequence

NEXT_KEY = "tab"


class Switch:
    """Which condition is shown, which is wanted, and what the shown one costs.

    Args:
        conditions: To switch between, at least one; the first nine have a number where the task needs no numbers.
        first: Which of them is shown first.
        taken: Keys of the task's actions.
    """

    def __init__(self, conditions: Sequence[str], first: str, taken: Collection[str]) -> None:
        self.shown = self._wanted = first
        self._conditions = list(conditions)
        numbers = {str(number): name for number, name in enumerate(conditions[:9], 1)}
        self._numbers = {} if set(numbers) & set(taken) else numbers
        self.seen = [first]
        """Conditions shown since `begin`, each once."""
        self._bits = self._steps = self._lost = 0

    @property
    def has_numbers(self) -> bool:
        """Whether number keys switch too."""
        return bool(self._numbers)

    @property
    def told(self) -> str:
        """What keys lead to, such as `1 raw, 2 full`."""
        numbers = {name: f"{number} " for number, name in self._numbers.items()}
        return ", ".join(numbers.get(name, "") + name for name in self._conditions)

    @property
    def mark(self) -> str:
        """What is shown and what it costs, such as `pico, 85 bits, 3 of 40 lost`."""
        words = [self.shown]
        if self._steps:
            words.append(f"{self._bits} bits" if self._bits or self.shown != "raw" else "original frames")
        if self._lost:
            words.append(f"{self._lost} of {self._steps} lost")
        return ", ".join(words)

    def begin(self) -> None:
        """Take note that an episode begins."""
        self.seen = [self.shown]
        self._bits = self._steps = self._lost = 0

    def key(self, name: str) -> None:
        """Take in a key that went down, by pygame's name."""
        if name == NEXT_KEY:
            at = self._conditions.index(self._wanted)
            self._wanted = self._conditions[(at + 1) % len(self._conditions)]
        else:
            self._wanted = self._numbers.get(name, self._wanted)

    def turn(self) -> str | None:
        """Show what is wanted from now on, and return it; None where it is shown already."""
        if self._wanted == self.shown:
            return None
        self.shown = self._wanted
        self.seen += [] if self.shown in self.seen else [self.shown]
        self._bits = self._steps = self._lost = 0
        return self.shown

    def count(self, bits: int, lost: bool) -> None:
        """Take note of what a step cost, and whether its packet was lost."""
        self._bits = bits
        self._steps += 1
        self._lost += lost
