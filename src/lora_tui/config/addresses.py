"""Which addresses and host names are of the public internet: a list of ours, whatever Python's is.

From IANA's special-purpose address registries, and the addresses at which clouds keep metadata.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_V4 = ipaddress.IPv4Address
_V6 = ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Whether packets to this address (an IPv6 zone may follow) go to the public internet.

    An IPv6 address that stands for an IPv4 address is judged as that one. False where the text is
    not an address.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, _V4):
        return not any(parsed in network for network in _NOT_PUBLIC_4)
    if parsed.ipv4_mapped is not None:
        return is_public(str(parsed.ipv4_mapped))
    if parsed in _NAT64:
        return is_public(str(_V4(int(parsed) & 0xFFFF_FFFF)))
    if parsed not in _UNICAST_6 or any(parsed in network for network in _NOT_PUBLIC_6):
        return False
    if parsed.sixtofour is not None and not is_public(str(parsed.sixtofour)):
        return False
    if (int(parsed) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return is_public(str(_V4(int(parsed) & 0xFFFF_FFFF)))
    return True


def is_public_host(host: str) -> bool:
    """Whether a host of a URL may be public, as far as can be told without resolving it.

    Every spelling of an address that some resolver takes (decimal, octal, hexadecimal, with parts
    or the last dot missing or too many) is judged as that address; names of local networks are not
    public, nor is a host with characters that no public name has.
    """
    host = host.lower()
    if ":" in host:
        return "%" not in host and is_public(host)
    if not _NAME.fullmatch(host):
        return False
    labels = host.rstrip(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        address = _number_address(labels)
        return address is not None and is_public(address)
    return len(labels) > 1 and not any(
        host.rstrip(".").endswith(f".{ending}") for ending in _LOCAL_ENDINGS
    )


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine, by its name or its address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _number_address(labels: list[str]) -> str | None:
    """What `inet_aton` makes of one to four numbers; None where it is none."""
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        return None
    *first, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in first):
        return None
    if last >= 256 ** (5 - len(numbers)):
        return None
    value = last
    for position, number in enumerate(first):
        value += number << (8 * (3 - position))
    return str(_V4(value))


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if label.startswith("0") and len(label) > 1 else int(label)


_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers; metadata of Alibaba Cloud
        "127.0.0.0/8",  # this machine
        "168.63.129.16/32",  # Azure's own service, seen from its machines only
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; metadata of Oracle Cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, given up
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")
"""All else is local, reserved, multicast, or a form of an IPv4 address."""
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Translated to IPv4 by a network that has IPv6 only. 64:ff9b:1::/48 is for local translation."""
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""The third quarter of an address whose last quarter is an IPv4 address that it is tunnelled to."""
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_LOCAL_ENDINGS: Final = (
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
)
