"""Reverse proxies in front of the page: which of them are trusted, and what their headers say of a
request."""

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from models.errors import UserError

LOOPBACK = "127.0.0.0/8, ::1"
FORWARDED = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-prefix",
        b"x-real-ip",
        b"x-gradio-server",
    }
)
"""Headers that Gradio or uvicorn trust from any sender."""


@dataclass(frozen=True)
class Proxies:
    """Networks of the proxies that are trusted; none by default."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Proxies":
        """Addresses and networks, with commas between them. Raises UserError for what is neither."""
        try:
            return cls(
                tuple(ip_network(item.strip(), strict=False) for item in text.split(",") if item.strip())
            )
        except ValueError as error:
            raise UserError(
                "--behind-proxy takes addresses or networks, as 127.0.0.1 or 10.0.0.0/8; got "
                f"'{text[:80]}' ({error})."
            ) from error

    def trust(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self.networks)

    def client(self, peer: str, forwarded_for: str) -> str:
        """The client: the last address of X-Forwarded-For that is not a trusted proxy. Each proxy appends to
        this list; the client can forge what stands before."""
        for address in reversed([peer_of(item) for item in forwarded_for.split(",") if item.strip()]):
            if not self.trust(address):
                return address
        return peer


def seen_through(scope: MutableMapping[str, Any], proxies: Proxies, public_name: str = "") -> dict[str, Any]:
    """An ASGI scope whose client, scheme and headers are those that this page believes in. Headers of a
    trusted proxy stay, all others' go. `public_name`: the host of the public link where the request came
    through it; its traffic is HTTPS."""
    peer = str((scope.get("client") or ("",))[0])
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    forwarded = {name: value.decode("latin-1") for name, value in headers if name in FORWARDED}
    kept = [(name, value) for name, value in headers if name not in FORWARDED]
    if public_name:
        kept += [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", public_name.encode("latin-1"))]
        return {**scope, "headers": kept, "scheme": "https"}
    if not proxies.trust(peer):
        return {**scope, "headers": kept}
    scheme = _first(forwarded.get(b"x-forwarded-proto", "")) or str(scope.get("scheme", "http"))
    kept += [
        (name, forwarded[name].encode("latin-1"))
        for name in (b"x-forwarded-proto", b"x-forwarded-host")
        if name in forwarded
    ]
    return {
        **scope,
        "headers": kept,
        "scheme": scheme,
        "client": (proxies.client(peer, _all(headers, b"x-forwarded-for")), 0),
    }


def network(address: str) -> str:
    """The network of one visitor: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ip_network(f"{parsed}/64", strict=False))
    return str(parsed)


def peer_of(text: str) -> str:
    """1.2.3.4, 1.2.3.4:5, ::1 or [::1]:5 -> the address."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _first(text: str) -> str:
    return text.split(",")[0].strip().lower()


def _all(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str:
    return ",".join(value.decode("latin-1") for name, value in headers if name == wanted)
