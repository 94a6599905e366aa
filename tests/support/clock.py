"""A clock for tests."""

from datetime import UTC, date, datetime, timedelta


class Clock:
    """A clock that advances only when it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)  # a Tuesday

    def __call__(self) -> datetime:
        return self.now

    def today(self) -> date:
        return self.now.date()

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)
