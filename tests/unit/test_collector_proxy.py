"""Which proxy a server is behind: the environment as curl reads it."""

from __future__ import annotations

from typing import Optional

import pytest

from collectors.proxy import Proxy, proxy_for
from logsvc.errors import BadInput

PLAIN = Proxy("plain.example", 3128)
ENVIRONMENT = {"http_proxy": "http://plain.example:3128", "https_proxy": "http://tls.example:3129"}


@pytest.mark.parametrize(
    ("scheme", "environment", "host"),
    [
        ("http", ENVIRONMENT, "plain.example"),
        ("https", ENVIRONMENT, "tls.example"),
        ("https", {"http_proxy": "http://plain.example"}, None),
        ("http", {"HTTP_PROXY": "http://plain.example"}, "plain.example"),
        ("http", {"http_proxy": "http://small.example", "HTTP_PROXY": "http://capital.example"}, "small.example"),
        ("http", {"http_proxy": "", "all_proxy": "http://all.example"}, None),
        ("https", {"all_proxy": "http://all.example"}, "all.example"),
        ("https", {"ALL_PROXY": "http://all.example"}, "all.example"),
        ("https", {**ENVIRONMENT, "all_proxy": "http://all.example"}, "tls.example"),
        ("https", {}, None),
    ],
)
def test_by_scheme_and_name(scheme: str, environment: dict[str, str], host: Optional[str]) -> None:
    found = proxy_for(scheme, "logs.example", 443, environment)
    assert (found.host if found else None) == host


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://a.example:3128/", Proxy("a.example", 3128)),
        ("a.example:3128", Proxy("a.example", 3128)),
        (" http://a.example ", Proxy("a.example", 1080)),
        ("http://[fd00::1]:3128", Proxy("fd00::1", 3128)),
        ("http://me:s%3Acret%40@a.example:1", Proxy("a.example", 1, "Basic bWU6czpjcmV0QA==")),
        ("me@a.example:1", Proxy("a.example", 1, "Basic bWU6")),
    ],
)
def test_address_and_password(url: str, proxy: Proxy) -> None:
    assert proxy_for("http", "logs.example", 80, {"http_proxy": url}) == proxy


@pytest.mark.parametrize("url", ["socks5://a.example:1080", "https://a.example", "http://", "http://a:port", "://"])
def test_kinds_that_are_not_spoken(url: str) -> None:
    with pytest.raises(BadInput, match="http_proxy"):
        proxy_for("http", "logs.example", 80, {"http_proxy": url})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST."])
def test_this_machine_has_none(host: str) -> None:
    assert proxy_for("http", host, 80, ENVIRONMENT) is None


@pytest.mark.parametrize(
    ("excepted", "host", "through"),
    [
        ("*", "logs.example", False),
        ("logs.example", "logs.example", False),
        ("LOGS.Example.", "logs.example", False),
        ("example", "logs.example", False),
        (".example", "logs.example", False),
        (".logs.example", "logs.example", False),
        ("logs.example", "more.logs.example", False),
        ("ogs.example", "logs.example", True),
        ("more.logs.example", "logs.example", True),
        ("a.org, b.org logs.example", "logs.example", False),
        ("logs.example:8600", "logs.example", False),
        ("logs.example:8601", "logs.example", True),
        ("10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3:8600", "10.1.2.3", False),
        ("10.1.2.3:1", "10.1.2.3", True),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("10.1.2.9/24", "10.1.2.3", False),
        ("10.2.0.0/16", "10.1.2.3", True),
        ("10.", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", False),
        ("[fd00::1]:8600", "fd00::1", False),
        ("[fd00::1]:1", "fd00::1", True),
        ("fd00::/8", "10.1.2.3", True),
        ("10.0.0.0/8", "logs.example", True),
        ("", "logs.example", True),
        (" , .", "logs.example", True),
    ],
)
def test_no_proxy(excepted: str, host: str, through: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy_for("http", host, 8600, {**ENVIRONMENT, name: excepted}) == PLAIN) is through
