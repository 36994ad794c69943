"""`lora-tui demo`: an in-process stand-in for Supabase and the GPU worker, on loopback.

It speaks the parts of Auth, PostgREST, Storage (TUS included) and RunPod that the application
uses, on seeded, deterministic data, and fails on request (see `faults`). Everything secret in
here is make-believe. Needs the extra `demo` (starlette, uvicorn, python-multipart).
"""

from lora_tui.sandbox.server import Sandbox

__all__ = ["Sandbox"]
