"""Mail addresses: the part of RFC 5321 that is in use."""

import re

#: RFC 5321 4.5.3.1.
_MAX_LENGTH, _MAX_LOCAL_LENGTH = 254, 64
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def parse_mail_address(text: str) -> str:
    """Return the address with its domain in lower case and in ASCII (RFC 5891).

    Raises:
        ValueError: It is not an address, or one that needs SMTPUTF8 (RFC 6531), which few mail
            servers accept from others; the message says so.
    """
    local_part, separator, domain = text.strip().rpartition("@")
    if len(text) > _MAX_LENGTH or not separator:
        raise ValueError("expected a mail address such as ada@example.org")
    if not local_part.isascii():
        raise ValueError("expected only ASCII letters, digits and marks before the @")
    try:
        domain = domain.encode("idna").decode().lower()
    except UnicodeError as error:
        raise ValueError("expected a mail address such as ada@example.org") from error
    address = f"{local_part}@{domain}"
    is_valid = _LOCAL_PART.fullmatch(local_part) and _DOMAIN.fullmatch(domain)
    if not is_valid or len(local_part) > _MAX_LOCAL_LENGTH or len(address) > _MAX_LENGTH:
        raise ValueError("expected a mail address such as ada@example.org")
    return address
