from pathlib import Path

import pytest

from feedsrv.config import load_config
from feedsrv.errors import ConfigError


def test_a_missing_or_invalid_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 3")
    with pytest.raises(ConfigError, match="invalid TOML"):
        load_config(broken, {})
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="invalid TOML"):
        load_config(None, {"FEEDSRV_CONFIG": str(broken)})


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfport = 8123\n",
        b"port = 8123\r\n\r\n[feeds.a]\r\nquery = '''\r\nfog'''\r\n",
        b"\xef\xbb\xbf# \xc3\xbc\r\nport = 8123",
    ],
)
def test_files_of_windows_editors_are_loaded(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(content)
    assert load_config(file, {}).port == 8123


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"port = 1\nport = 2\n", "(at line 2, column 9)"),
        (b"port = [1,\n\n", "(at line 2, the last one)"),
        (b"port =", "line 1"),
        (b"a = 1\nport = " + b"9" * 5000, "a number has too many digits (at line 2)"),
        (b"a = 1\nport = " + b"9_" * 5000 + b"9", "a number has too many digits (at line 2)"),
        (b"a = 1\nx = " + b"[" * 5000, "nested too deeply (at line 2)"),
        (b"\nx = " + b"{a = " * 5000 + b"1" + b"}" * 5000, "nested too deeply (at line 2)"),
        (b"port = 1\n# \xff\n", "not UTF-8 (at line 2)"),
        ("port = 1\n".encode("utf-16"), "not UTF-8 (at line 1)"),
        (b"port = 1\n\0\n", "(at line 2, column 1)"),
        (b"port = 1\rhost = 2\r", "(at line 1, column 9)"),
        (b"day = 2026-13-45\n", "line 1"),
    ],
)
def test_a_file_that_is_not_toml_is_named_with_the_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    (found,) = caught.value.problems
    assert found.startswith(f"{file}: invalid TOML: ")
    assert problem in found
    assert "\n" not in found


@pytest.mark.parametrize("setting", ["port", "deadline", "host", "feeds.a.limit", "mail.port"])
@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "[0b" + "1" * 20_000 + "]"])
def test_a_number_of_thousands_of_digits_is_not_repeated(
    tmp_path: Path, setting: str, number: str
) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f"{setting} = {number}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert f"{setting}: expected " in caught.value.problems[0]
    assert caught.value.problems[0].endswith(", not a number with too many digits")
