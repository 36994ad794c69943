"""Downloads of files from the bucket: queued, resumed at any byte, verified, and moved into place.

It may import gateway, cache, adapters, domain and the modules of the root.
"""
