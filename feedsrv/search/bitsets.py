"""Sets of small numbers as integers with one bit for each."""

from collections.abc import Iterable, Iterator

_ASCII_ONE = ord("1")


def bitset(numbers: Iterable[int], size: int) -> int:
    """Return the set of the numbers, all below ``size``, as an integer with one bit for each."""
    bits = bytearray(b"0" * (size or 1))
    for number in numbers:
        bits[~number] = _ASCII_ONE
    return int(bits, 2)


def iter_bits(bits: int) -> Iterator[int]:
    """Yield the numbers of a set, in ascending order."""
    text = bin(bits)[:1:-1]
    number = text.find("1")
    while number >= 0:
        yield number
        number = text.find("1", number + 1)
