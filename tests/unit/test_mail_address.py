import pytest

from feedsrv.mail_address import parse_mail_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.org", "ada@example.org"),
        (" Ada.Quill+x@EXAMPLE.org ", "Ada.Quill+x@example.org"),
        ("ada@müller.example", "ada@xn--mller-kva.example"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_a_mail_address_has_an_ascii_domain(text: str, address: str) -> None:
    assert parse_mail_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "ada", "@example.org", "ada@", "a b@example.org", "ada@exa mple.org", "ada@@x.org"),
        *(".ada@x.org", "a..b@x.org", "ada@-x.org", "ada@x..org", "ada@x.org.", "ädä@example.org"),
        *("ada@x.org\nBcc: eve@x.org", "ada@x.org,eve@x.org", "<ada@x.org>", '"a b"@x.org'),
        *("a" * 65 + "@x.org", "a@" + "x" * 64 + ".org", "a@" + "x." * 130 + "org", "a@\ud800.org"),
    ],
)
def test_an_invalid_mail_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_mail_address(text)
