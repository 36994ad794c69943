"""The backend of `lora-tui demo` and of the tests: Supabase and the GPU worker, on loopback.

It implements the parts of Auth, PostgREST, Storage (with resumable uploads) and RunPod that the
application uses, on seeded data, and fails on request (`faults.py`). `vllm/` is a stand-in for a
server that loads adapters. All its secrets are fake. It may import `clock`, `files` and `quality`
of the application, nothing else, and needs the extra `demo` (starlette, uvicorn, python-multipart).
"""

from lora_tui.sandbox.server import Sandbox

__all__ = ["Sandbox"]
