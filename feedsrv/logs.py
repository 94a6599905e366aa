"""Log formatting: one line per record, as text or JSON, with secrets redacted."""

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

ACCESS_LOGGER = "feedsrv.access"
_REDACTED = "***"
#: Secrets in any message: the first group is kept, the rest of the match is redacted.
_SECRET_PATTERNS = (
    re.compile(r"(?i)([?&;](?:amp;)?(?:key|token)=)[^\s&;\"'<>]+"),
    re.compile(r"(/key/)[^\s?&\"'<>]+"),  # `feedsrv.web.rewriting`
    re.compile(r"(?i)(authorization['\"]?\s*[:=,]\s*['\"]?(?:basic |bearer )?)[^\s'\",)]+"),
    re.compile(r"(?i)(\b(?:access_key|hf_token)['\"]?\s*[:=]\s*['\"]?)[^\s'\",)]+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"),
    re.compile(r"(\bhf_)[A-Za-z0-9]{8,}"),
)
_LINE_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def configure_logging(log_format: str, secrets: Iterable[str] = ()) -> None:
    """Send log records to standard error, with secrets redacted.

    Does nothing if the root logger already has handlers, set by a WSGI server or a test.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(secrets) if log_format == "json" else TextFormatter(secrets))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.raiseExceptions = False  # where logs go to a full disk, each line would be a traceback
    logging.getLogger("httpx").setLevel(logging.WARNING)


def configure_access_log(secrets: Iterable[str]) -> None:
    """Send the access log to standard output, with secrets redacted."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(TextFormatter(secrets, "%(message)s"))
    logger = logging.getLogger(ACCESS_LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class TextFormatter(logging.Formatter):
    """Format a record as one line of text, followed by its traceback if it has one."""

    def __init__(
        self, secrets: Iterable[str] = (), line: str = "%(asctime)s %(levelname)-7s %(message)s"
    ) -> None:
        super().__init__(line)
        self._secrets = tuple(secret for secret in secrets if secret)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        # Requests appear in messages; a line break in one must not forge a log line.
        return _LINE_BREAKS.sub(lambda match: repr(match[0])[1:-1], super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))

    def redact(self, text: str) -> str:
        """Return the text with keys, tokens and passwords replaced by ``***``."""
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        for pattern in _SECRET_PATTERNS:
            text = pattern.sub(rf"\g<1>{_REDACTED}", text)
        return text


class JsonFormatter(TextFormatter):
    """Format a record as a JSON object on one line, with its traceback as ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # Redacted before encoding: escaped quotation marks would hide where a secret ends.
            "message": self.redact(record.getMessage()),
        }
        if record.exc_info:
            fields["error"] = self.redact(self.formatException(record.exc_info))
        return json.dumps(fields)  # ASCII only, so no Unicode line separators
