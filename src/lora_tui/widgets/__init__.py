"""Widgets of the screens: the list of models, parts of pages, bars, forms and text helpers.

May import `engine` and the layers below it, of which it uses no network; no screen.
"""
