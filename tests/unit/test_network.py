"""Proxies and certificates from the environment."""

import ssl
from pathlib import Path

import certifi
import pytest

from feedsrv import network
from feedsrv.errors import ConfigError
from feedsrv.network import NetworkSettings, read_network_settings

UPSTREAM = "https://huggingface.co"
PROXY = "http://proxy.example:3128"


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_network_settings(environ, UPSTREAM)
    return caught.value.problems


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, PROXY),
        ({"HTTP_PROXY": PROXY}, ""),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"ALL_PROXY": "http://other.example", "HTTPS_PROXY": PROXY}, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": " "}, ""),
        ({"HTTPS_PROXY": "http://user:pass@[fd00::2]:3128/"}, "http://user:pass@[fd00::2]:3128/"),
    ],
)
def test_the_proxy_is_that_of_the_scheme_or_of_all(environ: dict[str, str], proxy: str) -> None:
    assert read_network_settings(environ, UPSTREAM).proxy == proxy


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_bypassed"),
    [
        ("*", UPSTREAM, True),
        ("huggingface.co", UPSTREAM, True),
        ("HuggingFace.co:443", UPSTREAM, True),
        ("localhost, .co", UPSTREAM, True),
        ("*.huggingface.co", UPSTREAM, True),
        ("ggingface.co", UPSTREAM, False),
        (",, ,.,:", UPSTREAM, False),
        ("[::1]", UPSTREAM, False),
        ("[::1]", "https://[::1]:8443", True),
        ("::1", "https://[::1]:8443", True),
        ("fd00::/8", "https://[fd00::2]", True),
        ("[fd00::]/8,[fd00::", "https://[fd00::2]", False),
        ("10.0.0.0/8", "https://10.1.2.3:8443", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", UPSTREAM, False),
        ("127.0.0.1", "https://127.0.0.1:8443", True),
    ],
)
def test_no_proxy_has_names_domains_addresses_and_networks(
    no_proxy: str, url: str, is_bypassed: bool
) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        settings = read_network_settings({variable: no_proxy, "ALL_PROXY": PROXY}, url)
        assert settings.proxy == ("" if is_bypassed else PROXY)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "url",
    [
        "gopher://proxy.example:70",
        "socks4://proxy.example",
        "http://",
        "http://:3128",
        "http://[::1",
        "http://proxy.example:port",
        "http://proxy.example:99999",
        "http://proxy.example:0",
        "http://pröxy.example",
        "http://s3cret:word@proxy.example:x",
        "http://proxy.example/\x1b",
        "://",
    ],
)
def test_an_invalid_proxy_is_named_by_its_variable(variable: str, url: str) -> None:
    (problem,) = problems({variable: url})
    assert problem.startswith(f"environment: {variable}: expected the URL of a proxy")
    assert "s3cret" not in problem


def test_a_socks_proxy_requires_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    (problem,) = problems({"ALL_PROXY": "socks5://127.0.0.1:1080"})
    assert problem == (
        "environment: ALL_PROXY: a SOCKS proxy requires an extra: pip install 'feedsrv[socks]'"
    )
    monkeypatch.setattr(network, "find_spec", lambda name: object())
    assert read_network_settings({"ALL_PROXY": "socks5h://h:1"}, UPSTREAM).proxy == "socks5h://h:1"


def test_certificates_come_from_a_file_else_a_directory(tmp_path: Path) -> None:
    file, directory = certifi.where(), str(tmp_path)
    both = {"SSL_CERT_FILE": file, "SSL_CERT_DIR": directory}
    assert read_network_settings(both, UPSTREAM) == NetworkSettings(ca_file=file)
    only = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": f"/none:{directory}"}
    assert read_network_settings(only, UPSTREAM).ca_directory == f"/none:{directory}"
    ssl.create_default_context(capath=directory)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("path", ["/none/here", "/dev/null/x", "x" * 5000, "/none/\udcff"])
def test_an_unusable_path_is_named_by_its_variable(variable: str, path: str) -> None:
    (problem,) = problems({variable: path})
    assert problem.startswith(f"environment: {variable}: expected a ")
    assert "\n" not in problem


def test_a_file_without_certificates_is_named_by_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    for path in (file, tmp_path):
        (problem,) = problems({"SSL_CERT_FILE": str(path)})
        assert problem.startswith("environment: SSL_CERT_FILE: expected a readable file")


def test_a_key_log_that_can_be_written_is_accepted(tmp_path: Path) -> None:
    environ = {"SSLKEYLOGFILE": str(tmp_path / "keys.log")}
    assert read_network_settings(environ, UPSTREAM) == NetworkSettings()


def test_all_invalid_variables_are_reported_together() -> None:
    found = problems({"HTTP_PROXY": "x://", "ALL_PROXY": "y://", "SSL_CERT_DIR": "/none"})
    assert [each.split(": ")[1] for each in found] == ["HTTP_PROXY", "ALL_PROXY", "SSL_CERT_DIR"]
