"""Runs llama.cpp's server until its standard input ends: `python -m … BASE KEY ADAPTER…`.

A process of its own, because the server's threads end only with their process. It prints its
address.
"""

from __future__ import annotations

import os
import sys

import xllamacpp


def main(base: str, key: str, *adapters: str) -> None:
    """Serve on a free port of loopback; each adapter is loaded at scale 1, as `--lora` does."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = base
    parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in adapters]
    parameters.api_keys = [key] if key else []
    parameters.port = 0
    parameters.n_ctx = 1024
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    parameters.fit_params = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
