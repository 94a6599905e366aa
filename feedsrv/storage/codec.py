"""Stored records as bytes: compressed JSON."""

import zlib
from threading import Lock
from typing import Any, TypeVar

import msgspec

#: Bytes of a decompressed record. A listing of a thousand papers has eight million.
_MAX_BYTES = 30_000_000
_ZLIB_LEVEL = 4

RecordT = TypeVar("RecordT", bound=msgspec.Struct)

_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}
_decoders_lock = Lock()


def encode(record: msgspec.Struct) -> tuple[bytes, int]:
    """Return the record as compressed JSON, and the bytes of the JSON.

    Compressed, also where it is short: zlib adds a checksum. SQLite and Redis have none, so that a
    flipped bit would change a date or a title.
    """
    text = msgspec.json.encode(record)
    return zlib.compress(text, _ZLIB_LEVEL), len(text)


def decode(data: bytes, type_: type[RecordT]) -> tuple[RecordT, int]:
    """Return the record, and the bytes of its JSON.

    Raises `msgspec.DecodeError` for damaged data, or data of another type.
    """
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(data, _MAX_BYTES)
    except zlib.error as error:
        raise msgspec.DecodeError(str(error)) from error
    if not decompressor.eof:
        raise msgspec.DecodeError("incomplete or too large")
    return _decoder(type_).decode(text), len(text)


def _decoder(type_: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    """Return the decoder of the type, created by one thread at a time.

    msgspec (0.22) crashes the process with a segmentation fault if several threads at once are the
    first to decode a type.
    """
    with _decoders_lock:
        if type_ not in _decoders:
            _decoders[type_] = msgspec.json.Decoder(type_)
        return _decoders[type_]
