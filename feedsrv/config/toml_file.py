"""Read a TOML file; each error names the line."""

import re
import tomllib
from pathlib import Path
from typing import Any

from feedsrv.config.files import read_file
from feedsrv.errors import ConfigError

#: A number with more digits than Python converts.
_HUGE_NUMBER = re.compile(r"[\d_]{4000,}")


def read_toml(file: Path) -> dict[str, Any]:
    """Return the parsed file.

    Raises:
        ConfigError: It cannot be read or is not TOML; the error names the line.
    """
    try:
        content = read_file(file)
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    try:
        text = content.decode("utf-8-sig")  # Windows editors write a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{file}: invalid TOML: not UTF-8 (at line {line})"]) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{file}: invalid TOML: {_describe_toml_error(error, text)}"]) from error


def _describe_toml_error(error: Exception, text: str) -> str:
    """Return what is wrong with the text of a file, and in which line."""
    lines = text.splitlines()
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error).replace("at end of document", f"at line {len(lines)}, the last one")
    if isinstance(error, RecursionError):
        depths = [line.count("[") + line.count("{") for line in lines]
        line = depths.index(max(depths)) + 1
        return f"arrays or tables are nested too deeply (at line {line})"
    # Python's limit for the conversion of a text; tomllib lets its exception pass.
    line = next((number for number, line in enumerate(lines, 1) if _HUGE_NUMBER.search(line)), 1)
    return f"a number has too many digits (at line {line})"
