"""An nginx on the loopback interface, with a certificate made for the run.

Each of its servers gives one file from `www`, with or without a limit for each connection. In front
of a project it also is the project's storage: every signed link leads to that file, and all other
requests go on to the project.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from page_server import PRIORITY

NAME = "adapter_model.safetensors"
BUCKET = "/storage/v1/object/sign/lora-models"
SIGNING = f"""
            location = {BUCKET} {{ error_page 405 =200 /many.json; try_files /many.json =404; }}
            location {BUCKET}/ {{ error_page 405 =200 /one.json; }}
            location ~ json$ {{ default_type application/json; }}"""
"""A POST to a file is refused with 405, and answered by another file."""


def which(tool: str) -> str | None:
    """Where a program is; nginx is not on everybody's path."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def make_certificate(directory: Path) -> None:
    """`ca.pem` and `key.pem` for 127.0.0.1."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(directory / "key.pem"), "-out", str(directory / "ca.pem")),
        ],
        check=True,
        capture_output=True,
    )


@contextmanager
def serving(
    directory: Path, limits: Sequence[str | None], project: str = "", *, signing: bool = False
) -> Iterator[list[str]]:
    """The URL of a server for each limit: nginx's `limit_rate` (32m), or None.

    `project`: the URL of the project behind all of them. `signing`: a request for links is
    answered by a file of `www`, `many.json` or `one.json`.
    """
    ports = free_ports(len(limits))
    if not limits:
        yield []
        return
    logs = Path(tempfile.mkdtemp(prefix="nginx-", dir=directory))
    servers = "".join(
        f"""
        server {{
            listen 127.0.0.1:{port} ssl;
            ssl_certificate {directory}/ca.pem;
            ssl_certificate_key {directory}/key.pem;
            root {directory}/www;
            {f"limit_rate {limit};" if limit and not project else ""}
            {project_behind(project, limit) if project else ""}
            {SIGNING if signing else ""}
        }}"""
        for port, limit in zip(ports, limits, strict=True)
    )
    configuration = logs / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off;
        {"user root;" if os.geteuid() == 0 else ""}
        worker_processes 2;
        {f"worker_priority {PRIORITY};" if project else ""}
        pid {logs}/pid;
        error_log {logs}/error.log;
        events {{ worker_connections 128; }}
        http {{
            access_log off;
            sendfile on;
            client_body_temp_path {logs}/a; proxy_temp_path {logs}/b; fastcgi_temp_path {logs}/c;
            uwsgi_temp_path {logs}/d; scgi_temp_path {logs}/e;
            {servers}
        }}"""
    )
    server = subprocess.Popen(
        [which("nginx") or "nginx", "-c", str(configuration), "-p", str(logs)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if project:  # sessions share the processors before processes do: sched(7), autogroup
        with suppress(OSError):
            Path(f"/proc/{server.pid}/autogroup").write_text(str(PRIORITY))
    try:
        for port in ports:
            wait_for_port(port, server)
        yield [f"https://127.0.0.1:{port}" for port in ports]
    finally:
        server.terminate()
        server.wait(10)


def project_behind(project: str, limit: str | None) -> str:
    """Links lead to the file; a link is made, and everything else answered, by the project."""
    return f"""
            location /storage/v1/object/sign/ {{
                error_page 418 = @project;
                if ($request_method = POST) {{ return 418; }}
                rewrite ^ /{NAME} break;
                {f"limit_rate {limit};" if limit else ""}
            }}
            location / {{ try_files /none @project; }}
            location @project {{
                proxy_pass {project};
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_buffer_size 64k;
                proxy_buffers 64 64k;
                proxy_max_temp_file_size 0;
            }}"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def wait_for_port(port: int, server: subprocess.Popen[str]) -> None:
    while True:
        if server.poll() is not None:
            sys.exit(f"nginx did not start: {server.stderr.read() if server.stderr else ''}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
