"""Convert values of a file or the environment to the types of settings."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect

from feedsrv.config.validation import quote_key, quote_value, quote_values, unknown_setting_message


def convert(value: object, kind: Any, *, is_text: bool = False) -> Any:
    """Return the value as the type; from text, numbers are parsed.

    Raises:
        ValueError: It has another type or is out of range; the message says what was expected.
    """
    try:
        return msgspec.convert(value, kind, strict=not is_text, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected {_describe_type(msgspec.inspect.type_info(kind))}") from error


def _decode_path(kind: type, value: object) -> Path:
    """Return the path with its ``~`` expanded; raise ValueError if it is no path of this system."""
    if kind is not Path or not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError
    if "\0" in str(value):
        raise ValueError
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError from error


def _describe_type(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            description = _describe_number(kind)
        case msgspec.inspect.BoolType():
            description = "true or false"
        case msgspec.inspect.LiteralType(values=choices):
            description = f"one of {quote_values(choices)}"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.LiteralType(values=choices)):
            description = f"a list of {quote_values(choices)}"
        case msgspec.inspect.VarTupleType():
            description = "a list of texts in quotation marks"
        case msgspec.inspect.StructType(fields=fields):
            description = f"a table with {', '.join(field.name for field in fields)} only"
        case msgspec.inspect.DictType():
            description = "a table of texts in quotation marks"
        case msgspec.inspect.CustomType():
            description = "the path of a directory; after a ~, the name of an existing user"
        case _:
            description = "text in quotation marks"
    return description


def _describe_number(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    noun = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
    if kind.gt is not None:
        return f"{noun} above {kind.gt} and up to {kind.le}"
    return (
        f"{noun}, {kind.ge} or more" if kind.le is None else f"{noun} from {kind.ge} to {kind.le}"
    )


def table_problems(
    kind: type[msgspec.Struct], table: object, hidden: Collection[str] = ()
) -> Iterator[str]:
    """Yield which keys of a table are unknown or invalid, each as the path below it and a message.

    The table can have the fields of the type but the hidden ones.
    """
    if not isinstance(table, Mapping):
        yield ": expected a table"
        return
    types = _field_types(kind, frozenset(hidden))
    for key, value in table.items():
        if key not in types:
            yield f".{quote_key(key)}: {unknown_setting_message(key, types)}"
            continue
        try:
            convert(value, types[key])
        except ValueError as error:
            yield f".{key}: {error}, not {quote_value(value)}"


@cache  # a server may have thousands of feeds
def _field_types(kind: type[msgspec.Struct], hidden: frozenset[str]) -> dict[str, Any]:
    return {
        field.encode_name: field.type
        for field in msgspec.structs.fields(kind)
        if field.name not in hidden
    }
