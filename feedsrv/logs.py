"""What the log looks like: one line for each record, and no secret in any."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime

_REDACTED = "***"
#: What opens something, whoever wrote it into a line: the rest of each match is what is hidden.
_SECRET_PATTERNS = (
    re.compile(r"(?i)([?&;](?:amp;)?(?:key|token)=)[^\s&;\"'<>]+"),
    re.compile(r"(?i)(authorization['\"]?\s*[:=,]\s*['\"]?(?:basic |bearer )?)[^\s'\",)]+"),
    re.compile(r"(?i)(\b(?:access_key|hf_token)['\"]?\s*[:=]\s*['\"]?)[^\s'\",)]+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"),
    re.compile(r"(\bhf_)[A-Za-z0-9]{8,}"),
)
_LINE_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def configure_logging(log_format: str, secrets: Iterable[str] = ()) -> None:
    """Have everything that is logged written to standard error.

    Where somebody else has seen to the log, a WSGI server or a test, it stays as it is.

    Args:
        log_format: ``text`` for people, ``json`` for programs.
        secrets: Texts that must stand in no line.

    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(secrets) if log_format == "json" else TextFormatter(secrets))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """A line for people; where something broke, where it did stands below it.

    Args:
        secrets: Texts that must stand in no line.

    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self._secrets = tuple(secret for secret in secrets if secret)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        # What is asked for is logged, and must not look like a line of ours.
        return _LINE_BREAKS.sub(lambda found: repr(found[0])[1:-1], super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))

    def redact(self, text: str) -> str:
        """Return the text with keys, tokens and passwords hidden."""
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        for pattern in _SECRET_PATTERNS:
            text = pattern.sub(rf"\g<1>{_REDACTED}", text)
        return text


class JsonFormatter(TextFormatter):
    """A JSON object on one line, with the trace of what broke in it.

    Args:
        secrets: Texts that must stand in no line.

    """

    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # Before it is JSON, where quotation marks would hide a secret's end.
            "message": self.redact(record.getMessage()),
        }
        if record.exc_info:
            found["error"] = self.redact(self.formatException(record.exc_info))
        return json.dumps(found)  # in ASCII: what some take for a line break is none then
