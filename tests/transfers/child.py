"""A download in a process of its own, for tests that kill it: HOME URL [RLIMIT_FSIZE].

Prints what became of it as one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import closing
from pathlib import Path

from lora_tui.cache.connection import open_cache
from lora_tui.cache.models import get_model
from lora_tui.errors import LoraTuiError
from lora_tui.transfers import fetch
from lora_tui.transfers.download import download
from lora_tui.transfers.run import Runner, Tools
from tests.transfers.file_server import MODEL, no_delay


def main() -> None:
    home, url = Path(sys.argv[1]), sys.argv[2]
    cache = Path(sys.argv[4]) if len(sys.argv) > 4 else home / "cache.sqlite3"
    if len(sys.argv) > 3 and int(sys.argv[3]):
        limit = int(sys.argv[3])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    fetch._NOTE_SECONDS = 0.05  # type: ignore[misc]
    runner = Runner(cache, Tools(sign=lambda _: url, delay=no_delay))
    with closing(open_cache(cache)) as db:
        model = get_model(db, MODEL)
        assert model is not None
        try:
            outcome = download(runner, db, model, home / "downloads")
            print(json.dumps({"done": outcome.done}))
        except LoraTuiError as error:
            told = {"error": str(error), "kind": type(error).__name__, "code": error.exit_code}
            print(json.dumps(told))
    runner.close()


if __name__ == "__main__":
    main()
