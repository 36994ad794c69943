"""Loss curves as text: axes, dots, plots, the two charts with zoom and crosshair, sparklines.

May import `curves`, `domain`, `formats` and the text helpers of `widgets`; no screen.
"""
