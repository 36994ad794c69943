"""What the application needs besides its screens: base classes, themes, toasts, web mode.

May import `widgets` and the layers below them, and `sandbox`; a screen only inside a function.
"""

import os
from typing import Final

_FRAMES_A_SECOND: Final = 240
"""Textual draws a frame one to two periods after the one before it, so that at its own 60 a key
beside anything else that is drawn waits for up to 33 ms. Where nothing changes nothing is drawn."""

# Read once, when textual is imported.
os.environ.setdefault("TEXTUAL_FPS", str(_FRAMES_A_SECOND))
