"""The reader of safetensors headers takes and refuses what the real one does.

`OUTCOMES` was recorded with safetensors 0.8.0 (`deserialize` and `safe_open`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from lora_tui.adapters.header import parse_header, read_header
from lora_tui.errors import IntegrityError
from tests.adapters.saved import header_bytes
from tests.conftest import Run

T: Final = '{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}'
FIELDS: Final = '"dtype":"F16","shape":[2,2],"data_offsets":[0,8]'


def tensor(**changed: object) -> str:
    return json.dumps({"a": {**json.loads(T), **changed}})


# text of the header, bytes of data, whether the real reader takes it
OUTCOMES: Final[dict[str, tuple[str | bytes, int, bool]]] = {
    "a tensor": (f'{{"a":{T}}}', 8, True),
    "byte order mark": (f'\ufeff{{"a":{T}}}', 8, False),
    "UTF-16": (f'{{"a":{T}}}'.encode("utf-16"), 8, False),
    "UTF-32": (f'{{"a":{T}}}'.encode("utf-32"), 8, False),
    "invalid UTF-8": (b'{"\xff":' + T.encode() + b"}", 8, False),
    "spaces before": (f' \n{{"a":{T}}}', 8, True),
    "spaces after": (f'{{"a":{T}}}  \t', 8, True),
    "zero after": (f'{{"a":{T}}}\0', 8, False),
    "form feed after": (f'{{"a":{T}}}\f', 8, False),
    "no-break space after": (f'{{"a":{T}}}\u00a0', 8, False),
    "two documents": (f'{{"a":{T}}}{{}}', 8, False),
    "comma at the end": (f'{{"a":{T},}}', 8, False),
    "nothing": ("", 0, False),
    "no object": ("[]", 0, False),
    "NaN": ("NaN", 0, False),
    "empty": ("{}", 0, True),
    "empty with data": ("{}", 1, False),
    "name twice": (f'{{"a":{T},"a":{T}}}', 8, True),
    "name twice, the last counts": (
        f'{{"a":{T},"a":{{"dtype":"F16","shape":[4],"data_offsets":[8,16]}},"c":{T}}}', 16, True,
    ),
    "name twice, a gap is left": (
        f'{{"a":{T},"a":{{"dtype":"F16","shape":[4],"data_offsets":[8,16]}}}}', 16, False,
    ),
    "field twice": (f'{{"a":{{"dtype":"F16",{FIELDS}}}}}', 8, False),
    "metadata": (f'{{"__metadata__":{{"x":"1"}},"a":{T}}}', 8, True),
    "metadata only": ('{"__metadata__":{"x":"1"}}', 0, True),
    "metadata twice": (f'{{"__metadata__":{{}},"__metadata__":{{}},"a":{T}}}', 8, False),
    "metadata key twice": (f'{{"__metadata__":{{"x":"1","x":"2"}},"a":{T}}}', 8, True),
    "metadata null": (f'{{"__metadata__":null,"a":{T}}}', 8, True),
    "metadata number": (f'{{"__metadata__":{{"x":1}},"a":{T}}}', 8, False),
    "metadata value null": (f'{{"__metadata__":{{"x":null}},"a":{T}}}', 8, False),
    "metadata nested": (f'{{"__metadata__":{{"x":{{}}}},"a":{T}}}', 8, False),
    "metadata list": (f'{{"__metadata__":[],"a":{T}}}', 8, False),
    "metadata text": (f'{{"__metadata__":"x","a":{T}}}', 8, False),
    "unknown type": (tensor(dtype="NEW"), 8, False),
    "type in small letters": (tensor(dtype="f16"), 8, False),
    "type is a number": (tensor(dtype=16), 8, False),
    "type as an enum": ('{"a":{"dtype":{"F16":null},"shape":[2,2],"data_offsets":[0,8]}}', 8, True),
    "fields in order": ('{"a":["F16",[2,2],[0,8]]}', 8, True),
    "a field too many in order": ('{"a":["F16",[2,2],[0,8],1]}', 8, False),
    "no type": ('{"a":{"shape":[2,2],"data_offsets":[0,8]}}', 8, False),
    "other field": (tensor(x=1), 8, True),
    "other field NaN": (f'{{"a":{{"x":NaN,{FIELDS}}}}}', 8, False),
    "other field too large": (f'{{"a":{{"x":1e999,{FIELDS}}}}}', 8, False),
    "other field with leading zero": (f'{{"a":{{"x":01,{FIELDS}}}}}', 8, False),
    "other field 125 deep": (f'{{"a":{{"x":{"[" * 125}{"]" * 125},{FIELDS}}}}}', 8, True),
    "other field 126 deep": (f'{{"a":{{"x":{"[" * 126}{"]" * 126},{FIELDS}}}}}', 8, False),
    "shape with fractions": (tensor(shape=[2.0, 2]), 8, False),
    "shape with exponent": ('{"a":{"dtype":"F16","shape":[2e0,2],"data_offsets":[0,8]}}', 8, False),
    "shape with truth": (tensor(shape=[True, 4]), 8, False),
    "shape with text": (tensor(shape=["2", 2]), 8, False),
    "shape null": (tensor(shape=None), 8, False),
    "minus zero": ('{"a":{"dtype":"F16","shape":[2,2],"data_offsets":[-0,8]}}', 8, False),
    "negative offset": (tensor(data_offsets=[-8, 0]), 8, False),
    "three offsets": (tensor(data_offsets=[0, 8, 8]), 8, False),
    "one offset": (tensor(data_offsets=[8]), 8, False),
    "offsets reversed": (tensor(data_offsets=[8, 0]), 8, False),
    "forty dimensions": (tensor(shape=[1] * 40 + [4]), 8, True),
    "scalar": ('{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4, True),
    "no values": ('{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}', 0, True),
    "no values, huge side": (
        f'{{"a":{{"dtype":"F32","shape":[0,{2**64 - 1}],"data_offsets":[0,0]}}}}', 0, True,
    ),
    "side of more than 64 bits": (
        f'{{"a":{{"dtype":"F32","shape":[0,{2**64}],"data_offsets":[0,0]}}}}', 0, False,
    ),
    "size of more than 64 bits": (
        f'{{"a":{{"dtype":"F32","shape":[{2**63},2,0],"data_offsets":[0,0]}}}}', 0, False,
    ),
    "no values in the middle of another": (
        f'{{"a":{T},"b":{{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}}}', 8, False,
    ),
    "gap": (f'{{"a":{T},"b":{{"dtype":"F16","shape":[4],"data_offsets":[16,24]}}}}', 24, False),
    "overlap": (f'{{"a":{T},"b":{{"dtype":"F16","shape":[4],"data_offsets":[4,12]}}}}', 12, False),
    "other order": (
        f'{{"b":{{"dtype":"F16","shape":[4],"data_offsets":[8,16]}},"a":{T}}}', 16, True,
    ),
    "a byte too many": (f'{{"a":{T}}}', 9, False),
    "a byte too few": (f'{{"a":{T}}}', 7, False),
    "lone surrogate": (f'{{"\\ud800":{T}}}', 8, False),
    "lone second surrogate": (f'{{"\\udc00":{T}}}', 8, False),
    "surrogate pair": (f'{{"\\ud83d\\ude00":{T}}}', 8, True),
    "surrogate after a backslash": (f'{{"\\\\ud800":{T}}}', 8, True),
    "surrogate in metadata": (f'{{"__metadata__":{{"x":"\\ud800"}},"a":{T}}}', 8, False),
    "surrogate in other field": (f'{{"a":{{"x":"\\ud800",{FIELDS}}}}}', 8, False),
    "control character": (f'{{"a\x01":{T}}}', 8, False),
    "escaped zero": (f'{{"\\u0000":{T}}}', 8, True),
    "empty name": (f'{{"":{T}}}', 8, True),
    "half a byte": ('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', 2, False),
    "four bits": ('{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}', 2, True),
    "six bits": ('{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}', 3, True),
    "FNUZ": ('{"a":{"dtype":"F8_E4M3FNUZ","shape":[8],"data_offsets":[0,8]}}', 8, True),
    "complex": ('{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}', 8, True),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_header_is_taken_or_refused_as_by_the_real_reader(name: str) -> None:
    text, data, taken = OUTCOMES[name]
    content = header_bytes(text.encode() if isinstance(text, str) else text)
    if taken:
        assert read_header(content, file_size=len(content) + data).data_bytes == data
    else:
        with pytest.raises(IntegrityError):
            read_header(content, file_size=len(content) + data)


def test_a_name_that_comes_twice_is_its_last_tensor() -> None:
    text, _, _ = OUTCOMES["name twice, the last counts"]
    assert parse_header(str(text).encode()).tensors["a"].start == 8


@pytest.mark.parametrize("name", ["byte order mark", "UTF-16", "metadata number", "unknown type"])
def test_a_file_that_no_program_reads_is_refused_in_one_line(
    run: Run, tmp_path: Path, name: str
) -> None:
    text, data, _ = OUTCOMES[name]
    file = tmp_path / "a.safetensors"
    file.write_bytes(header_bytes(text if isinstance(text, bytes) else text.encode()) + bytes(data))
    ran = run("inspect", str(file))
    assert (ran.code, ran.out, ran.err.count("\n")) == (6, "", 1)
