"""Which proxy stands before a server, as curl reads the environment; never one before this machine itself."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union
from urllib.parse import unquote, urlsplit

from logsvc.errors import BadInput

PORT = 1080  # where a proxy's URL names none, as for curl


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; `authorization` is the value of its own header, or None."""

    host: str
    port: int
    authorization: Optional[str] = None


def proxy_for(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> Optional[Proxy]:
    """
    The proxy for a server: `http_proxy` or `https_proxy`, else `all_proxy`, unless `no_proxy` names the server.

    Each in small or capital letters, small ones first. An empty value is no proxy.

    Raises:
        BadInput: it is a proxy of a kind that is not spoken here.
    """
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    found = next(((name, environment[name]) for name in names if name in environment), None)
    if not found or not found[1].strip() or is_here(host):
        return None
    excepted = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    if any(_names(entry, host, port) for entry in re.split(r"[,\s]+", excepted) if entry):
        return None
    return _proxy(*found)


def is_here(host: str) -> bool:
    """Whether a host is this machine itself, by its name alone."""
    address = _address(host)
    return address.is_loopback if address else host.lower().rstrip(".") == "localhost"


def _proxy(name: str, text: str) -> Proxy:
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, 0
    if not host:
        raise BadInput(f"{name} is not a URL like http://proxy.example:3128")
    if parts.scheme != "http":
        raise BadInput(f"{name} names a {parts.scheme} proxy; only http:// is spoken (no_proxy names what needs none)")
    if parts.username is None:
        return Proxy(host, port)
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port, "Basic " + base64.b64encode(secret.encode()).decode())


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry of `no_proxy` means this server: *, a domain and all below it, an address or a network."""
    if entry == "*":
        return True
    with_port = re.fullmatch(r"(\[[^]]*\]|[^:]*):([0-9]+)", entry)
    if with_port:
        if int(with_port[2]) != port:
            return False
        entry = with_port[1]
    entry = entry.strip("[]")
    address = _address(host)
    if address:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, domain = host.lower().rstrip("."), entry.lower().strip(".")
    return bool(domain) and (name == domain or name.endswith("." + domain))


def _address(host: str) -> Optional[Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
