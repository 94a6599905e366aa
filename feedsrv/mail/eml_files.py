"""Messages as files, to look at before they are sent."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import EmailMessage
from pathlib import Path

from feedsrv.errors import MailServerError


def write_eml_files(messages: Iterable[EmailMessage], directory: Path) -> int:
    """Write the messages to files such as ``0001-ada@example.org.eml``; return how many.

    Raises:
        MailServerError: The directory cannot be written.
    """
    count = 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for message in messages:
            count += 1
            file = directory / f"{count:04d}-{_file_name(message['To'])}.eml"
            file.write_bytes(bytes(message))
    except OSError as error:
        raise MailServerError(str(directory), error.strerror or str(error)) from error
    return count


def _file_name(address: str) -> str:
    return "".join(each if each.isalnum() or each in "@.-_" else "_" for each in address)
