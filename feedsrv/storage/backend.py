"""The protocol of a storage backend: bytes by part and name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Backend(Protocol):
    """Where bytes are kept, by part and name, for all processes that share it.

    Every method but `close` and `peek` may raise StoreError.
    """

    @property
    def name(self) -> str:
        """What it is called in messages, without anything secret."""

    @property
    def location(self) -> str:
        """The same for everybody: on what, or in what."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts, the one that matters most first."""

    @property
    def parts_fail_independently(self) -> bool:
        """Whether a part may fail while the others work."""

    @property
    def is_local(self) -> bool:
        """Whether `notice` takes no time, whatever happens."""

    def close(self) -> None:
        """Let go of it."""

    def get(self, part: str, name: str) -> bytes | None:
        """Return the value; None where there is none."""

    def read_only_get(self, part: str, name: str) -> bytes | None:
        """Return what can be had of a value although `get` fails; None for nothing."""

    def set(self, part: str, name: str, value: bytes) -> None:
        """Keep the value."""

    def delete(self, part: str, name: str) -> None:
        """Forget the value."""

    def change(
        self, part: str, name: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""

    def touch(self, part: str, name: str) -> None:
        """Have the value outlive those of its part that were kept or touched before."""

    def poll_version(self) -> object:
        """Return what is another value after each `tell`, by whichever process."""

    def bump_version(self) -> None:
        """Tell every process that something was kept."""

    def size(self) -> int:
        """Return the bytes that all this takes."""
