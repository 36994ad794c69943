"""Downloads of files from the bucket: queued, resumed at any byte, verified, and moved into place.

It may import `adapters`, `gateway`, `cache` and the layers below them.
"""
