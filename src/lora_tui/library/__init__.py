"""Downloaded adapters on this disk: found, checked, imported into a new cache, removed.

It may import transfers, adapters, cache, domain and the modules of the root; no network.
"""
