"""Our reader of safetensors takes the files that the real one takes, and no others."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from lora_tui.adapters.header import read_file_header
from lora_tui.errors import IntegrityError
from tests.real.cases import ask_peft, directory

pytestmark = pytest.mark.xdist_group("reader")

SEEDS: Final = range(40)
PER_SEED: Final = 25

Table = dict[str, Any]


def parts(content: bytes) -> tuple[bytes, bytes]:
    """The JSON and the data of a file."""
    length = struct.unpack("<Q", content[:8])[0]
    return content[8 : 8 + length], content[8 + length :]


def joined(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def changed_bytes(content: bytes, draw: random.Random) -> bytes:
    """Replace, delete, insert or repeat some bytes of the header."""
    header, data = parts(content)
    text = bytearray(header)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text))
        match draw.randrange(4):
            case 0:
                text[at] = draw.choice(b'{}[]":,0123456789eE+-.\\ \t\n\0\xff\xc3aF')
            case 1:
                del text[at : at + draw.randint(1, 4)]
            case 2:
                text[at:at] = draw.choice((b" ", b",", b"0", b"\\u0041", b"\xef\xbb\xbf", b"null"))
            case _:
                text[at:at] = text[at : at + draw.randint(1, 40)]
    return joined(bytes(text), data)


def changed_length(content: bytes, draw: random.Random) -> bytes:
    """Another length, a file cut short, or one with more behind."""
    header, data = parts(content)
    match draw.randrange(5):
        case 0:
            return struct.pack("<Q", max(0, len(header) + draw.randint(-9, 9))) + header + data
        case 1:
            return content[: draw.randrange(len(content))]
        case 2:
            return content + bytes(draw.randint(1, 16))
        case 3:
            return joined(header + b" " * draw.randint(1, 20), data)
        case _:
            return joined(b" " * draw.randint(1, 3) + header, data)


def changed_encoding(content: bytes, draw: random.Random) -> bytes:
    header, data = parts(content)
    text = header.decode()
    encoded = draw.choice(
        [
            text.encode("utf-8-sig"), text.encode("utf-16"), text.encode("utf-16-le"),
            text.encode("utf-32"), b"\0" + header, header + b"\0", header + b"\n",
            header.replace(b"lora_A", b"lora_\xff"), header.replace(b"lora_A", b"lora_\\ud800"),
            header.replace(b"lora_A", "löra_Ä".encode()), header.replace(b"lora_A", b"lora_\x01"),
        ]
    )  # fmt: skip
    return joined(encoded, data)


ENTRIES: Final[list[Callable[[Table, random.Random], None]]] = [
    lambda entry, draw: entry.update(dtype=draw.choice(
        ["F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0",
         "F4", "F6_E2M3", "C64", "f32", "X1", "", None, 3, ["F32"]])),
    lambda entry, draw: entry.update(shape=draw.choice(
        [[], [0], [-1, 4], [1.0, 2], [4], ["4"], None, 4, [2**62, 4], [2**64], [True], [1] * 40,
         [0, 2**63], [8, 64, 1]])),
    lambda entry, draw: entry.update(data_offsets=draw.choice(
        [[0, 0], [4, 0], [0], [0, 4, 8], [0.0, 4], [-4, 0], None, [0, 2**64], ["0", "4"], {}])),
    lambda entry, draw: entry.pop(draw.choice(["dtype", "shape", "data_offsets"])),
    lambda entry, draw: entry.update({draw.choice(["extra", "name", "Dtype"]): 1}),
    lambda entry, draw: entry.update(shape=entry["shape"][::-1]),
    lambda entry, draw: entry.update(dtype="F16", shape=[*entry["shape"], 2]),
]  # fmt: skip

METADATA: Final[list[object]] = [
    {}, {"format": "pt"}, {"format": 1}, {"format": None}, {"format": {"a": "b"}}, {"a": ["b"]},
    None, "pt", 3, [], ["a"], {"": ""}, {"a": "\u0000"}, {"a": True}, {"k" * 300: "v" * 3000},
]  # fmt: skip


def changed_entry(content: bytes, draw: random.Random) -> bytes:
    header, data = parts(content)
    table: Table = json.loads(header)
    names = [name for name in table if name != "__metadata__"]
    draw.choice(ENTRIES)(table[draw.choice(names)], draw)
    return joined(json.dumps(table).encode(), data)


def changed_table(content: bytes, draw: random.Random) -> bytes:
    """Metadata of another form, names twice, entries that are no tables, another order, nothing."""
    header, data = parts(content)
    table: Table = json.loads(header)
    first = next(name for name in table if name != "__metadata__")
    match draw.randrange(8):
        case 0 | 1:
            table["__metadata__"] = draw.choice(METADATA)
        case 2:
            twice = header[:-1].rstrip() + b"," + json.dumps({first: table[first]}).encode()[1:]
            return joined(twice, data)
        case 3:
            meta = header[:-1].rstrip() + b',"__metadata__":{"a":"b"},"__metadata__":{"c":"d"}}'
            return joined(meta, data)
        case 4:
            table[first] = draw.choice([None, 3, [], {}, "x"])
        case 5:
            table = dict(draw.sample(sorted(table.items()), len(table)))
        case 6:
            return joined(draw.choice([b"{}", b"[]", b"", b"null", b"{", b'{"a":1}']), data)
        case _:
            table[""] = table.pop(first)
    return joined(json.dumps(table).encode(), data)


def changed_holes(content: bytes, draw: random.Random) -> bytes:
    """Tensors that overlap, leave gaps, change places, or are empty."""
    header, data = parts(content)
    table: Table = json.loads(header)
    names = [name for name in table if name != "__metadata__"]
    one, other = draw.sample(names, 2)
    match draw.randrange(4):
        case 0:
            table[one]["data_offsets"] = table[other]["data_offsets"]
        case 1:
            del table[one]
        case 2:
            table["empty"] = {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]}
        case _:
            places = table[one]["data_offsets"], table[other]["data_offsets"]
            table[other]["data_offsets"], table[one]["data_offsets"] = places
    return joined(json.dumps(table).encode(), data)


CHANGES: Final = (
    changed_bytes, changed_length, changed_encoding, changed_entry, changed_table, changed_holes,
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thousands of small files, each a real one with one change."""
    place = tmp_path_factory.mktemp("mutated")
    whole = (directory("one_layer") / "adapter_model.safetensors").read_bytes()
    for seed in SEEDS:
        draw = random.Random(seed)
        for number in range(PER_SEED):
            change = draw.choice(CHANGES)
            file = place / f"{seed:03}-{number:03}-{change.__name__}"
            file.write_bytes(change(whole, draw))
    return place


@pytest.fixture(scope="module")
def verdicts(files: Path) -> dict[str, str | None]:
    """What the real reader says of each file."""
    found: dict[str, str | None] = ask_peft("reader_verdicts", files)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_file_is_taken_or_refused_as_the_real_reader_does(
    seed: int, files: Path, verdicts: dict[str, str | None]
) -> None:
    differences = []
    for name, real in verdicts.items():
        if not name.startswith(f"{seed:03}-"):
            continue
        try:
            read_file_header(files / name)
            ours = None
        except IntegrityError as error:
            ours = f"{error}"
        if (ours is None) is not (real is None):
            differences.append(f"{name}: ours {ours or 'takes it'}; real {real or 'takes it'}")
    assert differences == []
