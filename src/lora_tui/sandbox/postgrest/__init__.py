"""The sandbox's PostgREST: queries, writes and functions on its tables.

It may import the modules of `sandbox` itself, but neither `storage` nor `seed`.
"""
