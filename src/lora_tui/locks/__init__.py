"""Locks between processes, and whether the process that holds one is alive, also on other machines.

It may import files, processes and errors; docs/reliability.md has the rules in plain words.
"""
