"""Which addresses the worker's answer may lead to: by our own list, in every spelling."""

from __future__ import annotations

import ipaddress

import pytest

from lora_tui.config.addresses import is_public, is_public_host
from lora_tui.config.kinds import checked_url
from lora_tui.errors import ConfigError
from lora_tui.harvest.failures import RefusedResultError
from lora_tui.harvest.source_connection import resolve_target

PRIVATE_4 = [
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1"),
    *("168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1"),
    *("192.0.0.192", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
]
PRIVATE_6 = [
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "feff::1", "fc00::1", "fd00:ec2::254"),
    *("ff02::1", "100::1", "64:ff9b:1::1", "64:ff9b:1::8.8.8.8", "2001::1", "2001:2::1"),
    *("2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1", "2001:0:1::1"),
    "::8.8.8.8",  # an IPv4-compatible address is of no use, even of a public one
    "::ffff:0:8.8.8.8",
    "2001:0:808:808:0:0:f7f7:f7f7",  # Teredo
]
PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "52.216.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1"),
    *("168.63.129.17", "192.0.1.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2a00::5efe:8.8.8.8"),
]


@pytest.mark.parametrize("address", [*PRIVATE_4, *PRIVATE_6])
def test_an_address_of_no_public_network_is_refused(address: str) -> None:
    assert not is_public(address)
    assert not is_public_host(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_passes(address: str) -> None:
    assert is_public(address)
    assert is_public_host(address)


@pytest.mark.parametrize("address", PRIVATE_4)
def test_a_private_address_is_refused_in_every_form_of_ipv6(address: str) -> None:
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    for form in (
        f"::{address}",
        f"::ffff:{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:808:808::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        f"2a00::5efe:{address}",
        f"2a00::200:5efe:{address}",
        f"fe80::5efe:{address}",
    ):
        assert not is_public(form), form
        assert not is_public_host(form), form


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "017700000001", "0x7f000001", "0x7F.1", "127.1", "127.0.1", "0177.0.0.1"),
        *("127.0.0.1.", "127.1.", "0", "0x", "0.0", "00000000177.1", "2852039166"),
        *("0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "169.254.43518", "169.16689662", "10.0.0.08"),
        *("256.1.1.1", "1.2.3.4.5", "4294967296", "0x100000000", "192.168.0.1.."),
        *("localhost", "LOCALHOST.", "a.localhost", "metadata.google.internal", "printer.local"),
        *("router", "router.lan", "router.home.arpa", "host.localdomain", "%31%32%37.0.0.1"),
        *("１２７.0.0.1", "127。0。0。1", "⑫7.0.0.1", "exa\u00admple.com", "a..b", ".", "", "-"),
        *("fe80::1%25eth0", "::1%lo", "2606:4700::1111%eth0", "example.com\\@127.0.0.1"),
    ],
)
def test_no_spelling_of_a_private_host_passes(host: str) -> None:
    assert not is_public_host(host)


@pytest.mark.parametrize(
    "host", ["storage.example.com", "a-b_c.s3.amazonaws.com.", "8.8.8.8.", "134744072", "x1.0xf.io"]
)
def test_a_public_host_passes(host: str) -> None:
    assert is_public_host(host)


@pytest.mark.parametrize("by_proxy", [False, True])
@pytest.mark.parametrize(
    "host",
    ["127.1", "0x7f.1", "192.0.0.192", "[fec0::1]", "[::7f00:1]", "[64:ff9b:1::a00:1]", "a.local"],
)
def test_a_file_at_a_private_address_is_refused_before_any_name_is_looked_up(
    host: str, by_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("socket.getaddrinfo")
    with pytest.raises(RefusedResultError, match="private"):
        resolve_target(f"https://{host}/a.bin?sig=1", allow_private=False, by_proxy=by_proxy)


def test_a_public_name_that_leads_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for address in ("192.0.0.192", "168.63.129.16", "fec0::1", "fe80::1%eth0", "::10.0.0.1"):
        found = [(0, 0, 0, "", ("8.8.8.8", 443)), (0, 0, 0, "", (address, 443))]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, found=found, **__: found)
        with pytest.raises(RefusedResultError, match="private"):
            resolve_target("https://files.example.com/a", allow_private=False)


@pytest.mark.parametrize(
    "url", ["http://127.evil.example", "http://127.0.0.1.evil.example", "http://[::1", "http://h:x"]
)
def test_a_key_goes_unencrypted_to_this_machine_only(url: str) -> None:
    with pytest.raises(ConfigError):
        checked_url(url, "SUPABASE_URL")
