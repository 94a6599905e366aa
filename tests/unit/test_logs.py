"""Log lines: redaction and formats."""

from __future__ import annotations

import json
import logging

import pytest

from feedsrv.logs import JsonFormatter, TextFormatter


def make_record(
    message: str, *values: object, broke: BaseException | None = None
) -> logging.LogRecord:
    trace = (type(broke), broke, broke.__traceback__) if broke else None
    return logging.LogRecord("feedsrv.x", logging.WARNING, "x.py", 1, message, values, trace)


def make_error_record() -> Exception:
    try:
        int("at https://h/papers?key=sesame and below")
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "formatter", [TextFormatter(["whole-secret"]), JsonFormatter(["whole-secret"])]
)
@pytest.mark.parametrize(
    "told",
    [
        *("GET /papers.atom?q=a&key=sesame broke", "https://h/feeds/a.atom?key=sesame"),
        *("Authorization: Basic sesame", "{'Authorization': 'Bearer sesame'}"),
        *("http://proxy:sesame@10.0.0.1:3128/ refused", "access_key = 'sesame'"),
        *("hf_sesameSESAME01 is no token", "hf_token=sesame", "it is whole-secret, she said"),
        'href="/papers.atom?q=a&amp;key=sesame"',
    ],
)
def test_no_secret_stands_in_a_line(formatter: logging.Formatter, told: str) -> None:
    line = formatter.format(make_record("%s", told))
    assert "sesame" not in line
    assert "whole-secret" not in line
    assert "***" in line


def test_what_is_no_secret_stays() -> None:
    told = "day 2026-11-24: 3 papers from https://huggingface.co/papers?q=key"
    assert TextFormatter().format(make_record("%s", told)).endswith(f"WARNING {told}")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_what_somebody_asks_for_makes_no_line_of_its_own(formatter: logging.Formatter) -> None:
    line = formatter.format(make_record("%s broke", "/x\n2026-11-24 INFO all is well\u2028\x1b[2J"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_as_json_the_trace_of_what_broke_is_on_the_same_line() -> None:
    line = JsonFormatter().format(make_record("reading %s broke", "day", broke=make_error_record()))
    assert len(line.splitlines()) == 1
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("warning", "feedsrv.x")
    assert told["message"] == "reading day broke"
    assert "ValueError" in told["error"]
    assert "sesame" not in line


def test_for_people_it_stands_below() -> None:
    lines = (
        TextFormatter().format(make_record("reading broke", broke=make_error_record())).splitlines()
    )
    assert lines[0].endswith("WARNING reading broke")
    assert "Traceback" in lines[1]
    assert "sesame" not in "".join(lines)
