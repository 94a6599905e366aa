"""Decode the objects of a damaged JSON list, so that one bad character costs one object at most.

msgspec rejects a whole document for a single character. This decoder is slower, and is used only
for documents that msgspec rejects.
"""

import json
import math
import re
from collections.abc import Iterator
from json import JSONDecoder

from msgspec import Raw

#: Where the first object of a list begins, and where another one may begin.
_FIRST_OBJECT = re.compile(r"\[\s*(?=\{)")
_NEXT_OBJECT = re.compile(r",\s*(?=\{)")
_COMMA = re.compile(r"\s*,")
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
#: Objects inside damaged ones that are tried. Each failure takes time in proportion to the text.
_MAX_FAILURES = 2_000
#: Digits of the longest integer that is decoded. Python refuses to convert more than 4,300.
_MAX_DIGITS = 20


def _decode_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _decode_float(text: str) -> float | None:
    return number if math.isfinite(number := float(text)) else None


# Not strict: strings may contain control characters. Lone surrogates are allowed anyway.
_decoder = JSONDecoder(
    strict=False,
    parse_int=_decode_int,
    parse_float=_decode_float,
    parse_constant=lambda _name: None,  # NaN and Infinity
)


def recover_objects(text: str, required_key: str) -> Iterator[Raw]:
    """Yield each object of a damaged list as valid JSON, and each damaged part as it is.

    Lone surrogates become U+FFFD, and numbers that are not finite or too long become null. Behind a
    damaged part, an object without the required key is taken for a part of another one.
    """
    position, failures = 0, 0
    damaged_from: int | None = None
    is_in_list, is_unclosed = True, False
    object_start = _FIRST_OBJECT
    while failures < _MAX_FAILURES and (found := object_start.search(text, position)):
        object_start, start = _NEXT_OBJECT, found.end()
        try:
            value, end = _decoder.raw_decode(text, start)
            repaired = json.dumps(value, ensure_ascii=False)
        except (ValueError, RecursionError) as error:
            if is_in_list:
                damaged_from = start
            is_in_list = False
            failures += 1
            position = start
            if isinstance(error, RecursionError) and not is_unclosed:
                position = _find_end(text, start) or start
                is_unclosed = position == start
            continue
        position = end
        if is_in_list or required_key in value:
            if damaged_from is not None:
                yield _raw(text[damaged_from:start])
                damaged_from = None
            yield _raw(repaired)
            is_in_list = _COMMA.match(text, end) is not None
        else:
            failures += 1
    if damaged_from is not None:
        yield _raw(text[damaged_from:])


def _raw(text: str) -> Raw:
    return Raw(_SURROGATE.sub("\ufffd", text).encode())


def _find_end(text: str, start: int) -> int | None:
    """Return the end of the object that begins there, by its brackets; None if it has no end."""
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text, start):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None
