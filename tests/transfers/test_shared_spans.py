"""A span of a file that another connection helps with, and gives up, while its bytes arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from lora_tui.transfers.connection import RangeConnection
from lora_tui.transfers.kept_connections import KeptConnections
from lora_tui.transfers.part import Version, open_part
from lora_tui.transfers.pieces import Pieces
from lora_tui.transfers.readers import Readers
from lora_tui.transfers.remote_file import RemoteFile

SIZE = 1 << 20
DATA = bytes(number * 37 % 251 for number in range(4096)) * (SIZE // 4096)
VERSION = Version('"one"', SIZE)


class Response:
    """The bytes of a range of DATA; `meanwhile` is called once, in the second read."""

    ranged, has_length, has_certain_end, range_ignored = True, True, True, False
    version = VERSION

    def __init__(self, start: int, end: int | None, meanwhile: Any) -> None:
        self.start, self.end = start, SIZE if end is None else end
        self._at, self._reads, self._meanwhile = start, 0, meanwhile

    def read_into(self, buffer: memoryview) -> int:
        self._reads += 1
        if self._reads == 2:
            self._meanwhile()
        count = min(len(buffer), self.end - self._at)
        buffer[:count] = DATA[self._at : self._at + count]
        self._at += count
        return count

    def abort(self) -> None:
        pass


class OneServer:
    """In place of a connection and of those that are kept."""

    is_reusable = False

    def __init__(self) -> None:
        self.meanwhile: Any = lambda: None

    def take(self) -> RangeConnection:
        return cast(RangeConnection, self)

    def give_back(self, connection: object) -> None:
        pass

    @contextmanager
    def request(
        self, url: str, start: int, end: int | None, etag: str | None, *, probe: bool = False
    ) -> Iterator[Response]:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        yield Response(start, end, meanwhile)


def test_bytes_stay_in_place_when_a_helping_connection_is_lost_meanwhile(tmp_path: Path) -> None:
    server = OneServer()
    with open_part(tmp_path / "model" / "a.bin") as part:
        source = RemoteFile(part, lambda: "https://storage.test/a", SIZE, 8)
        source.version, source.pieces = VERSION, Pieces(SIZE)

        def another_helps_and_is_lost() -> None:
            # of the rest it takes what follows the next 32 KiB, which are being read already
            taken = source.pieces.take(32 << 10)
            assert taken is not None
            source.pieces.release(taken)

        server.meanwhile = another_helps_and_is_lost
        readers = Readers(source, connections=cast(KeptConnections, server), host="", limit=None)
        assert readers.start()
        while len(readers):
            assert not readers.wait(1.0)
        assert source.pieces.complete
        assert part.path.read_bytes() == DATA
