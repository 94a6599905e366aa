"""Log lines: redaction and formats."""

import json
import logging

import pytest

from feedsrv.logs import JsonFormatter, TextFormatter


def make_record(
    message: str, *values: object, error: BaseException | None = None
) -> logging.LogRecord:
    trace = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("feedsrv.x", logging.WARNING, "x.py", 1, message, values, trace)


def raised_error() -> Exception:
    try:
        int("at https://h/papers?key=sesame and below")
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "formatter", [TextFormatter(["whole-secret"]), JsonFormatter(["whole-secret"])]
)
@pytest.mark.parametrize(
    "text",
    [
        *("Unhandled exception in GET /papers.atom?q=a&key=sesame",),
        *("https://h/feeds/a.atom?key=sesame", "https://h/papers/q/causal/key/sesame.atom"),
        *("Authorization: Basic sesame", "{'Authorization': 'Bearer sesame'}"),
        *("http://proxy:sesame@10.0.0.1:3128/ refused", "access_key = 'sesame'"),
        *("hf_sesameSESAME01 is no token", "hf_token=sesame", "password whole-secret rejected"),
        'href="/papers.atom?q=a&amp;key=sesame"',
    ],
)
def test_secrets_are_redacted(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(make_record("%s", text))
    assert "sesame" not in line
    assert "whole-secret" not in line
    assert "***" in line


def test_other_text_is_unchanged() -> None:
    text = "day 2026-11-24: 3 papers from https://huggingface.co/papers?q=key"
    assert TextFormatter().format(make_record("%s", text)).endswith(f"WARNING {text}")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_request_cannot_forge_a_log_line(formatter: logging.Formatter) -> None:
    line = formatter.format(
        make_record("error in %s", "/x\n2026-11-24 INFO all is well\u2028\x1b[2J")
    )
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_in_json_the_traceback_is_on_the_same_line() -> None:
    line = JsonFormatter().format(make_record("cannot parse %s", "day", error=raised_error()))
    assert len(line.splitlines()) == 1
    fields = json.loads(line)
    assert (fields["level"], fields["logger"]) == ("warning", "feedsrv.x")
    assert fields["message"] == "cannot parse day"
    assert "ValueError" in fields["error"]
    assert "sesame" not in line


def test_in_text_the_traceback_follows_the_line() -> None:
    lines = TextFormatter().format(make_record("cannot parse", error=raised_error())).splitlines()
    assert lines[0].endswith("WARNING cannot parse")
    assert "Traceback" in lines[1]
    assert "sesame" not in "".join(lines)
