"""One number of the page, with all that it was."""

from statistics import median

from msgspec import Struct


class Figure(Struct):
    """One number, as each round found it."""

    rounds: dict[int, float]

    @property
    def median(self) -> float:
        """Return what is told."""
        return median(self.rounds.values())

    @property
    def low(self) -> float:
        """Return the least of all rounds."""
        return min(self.rounds.values())

    @property
    def high(self) -> float:
        """Return the most of all rounds."""
        return max(self.rounds.values())

    def over(self, other: "Figure") -> "Figure | None":
        """Return how many times the other it is, round by round."""
        both = self.rounds.keys() & other.rounds.keys()
        ratios = {number: self.rounds[number] / other.rounds[number] for number in sorted(both)}
        return Figure(ratios) if ratios else None

    def minus(self, other: "Figure") -> "Figure | None":
        """Return how much more than the other it is, round by round."""
        both = self.rounds.keys() & other.rounds.keys()
        more = {number: self.rounds[number] - other.rounds[number] for number in sorted(both)}
        return Figure(more) if more else None
