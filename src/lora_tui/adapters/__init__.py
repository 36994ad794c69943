"""Reads the files of an adapter: configuration, header and weights; writes snippets that load it.

`config.py` and `header.py` read untrusted bytes, `modules.py` joins them, `agreement.py` says what
PEFT would do with both; `weights.py` computes figures. May import `domain`, `text`, `formats`,
`json_values`, `errors`, `files` and, for remote files, `gateway`.
"""
