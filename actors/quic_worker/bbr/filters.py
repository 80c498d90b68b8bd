"""Maxima over a window of time that is counted in whole steps: rounds, or probing cycles. Pure."""


class WindowedMax:
    """The largest value of the last `length` steps, this one included."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._values: dict[int, float] = {}
        """Step → its largest value; at most `length` of them."""

    def update(self, value: float, step: int) -> None:
        """Take a value of `step`, which never goes back."""
        self._values = {at: kept for at, kept in self._values.items() if at > step - self._length}
        self._values[step] = max(value, self._values.get(step, 0.0))

    @property
    def value(self) -> float:
        """The largest; 0 before there is any."""
        return max(self._values.values(), default=0.0)
