"""Widgets of the screens: the list of models, parts of pages, bars, forms and text helpers.

May import `cache` (to read), `domain`, `opinion`, `reports`, `adapters` and `formats`; no screen.
"""
