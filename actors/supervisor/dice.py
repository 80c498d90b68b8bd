"""Chance that can be repeated: its whole state is two numbers. Pure.

The state of the policy is data, and is written to the log after a fault (`history.py`). A `random.Random` would be 600
numbers of it, and waits with another jitter would lead to another end.
"""

import random
from typing import Any

import msgspec


class Dice(msgspec.Struct):
    """Random numbers. Two dice with the same seed, thrown as often, give the same ones."""

    seed: int
    thrown: int = 0

    def uniform(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return self._throw().uniform(low, high)

    def shuffle(self, items: list[Any]) -> None:
        """Put `items` into a random order."""
        self._throw().shuffle(items)

    def _throw(self) -> random.Random:
        self.thrown += 1
        return random.Random(f"{self.seed}.{self.thrown}")
