"""Reports on models: the comparison, the model card, and tables as Markdown and CSV.

May import `domain`, `opinion`, `curves` and `formats`. This file stays light: the list of models
needs it.
"""

from typing import Final

MIN_COMPARED: Final = 2
MAX_COMPARED: Final = 6
"""How many models a comparison shows side by side, with their curves."""
MAX_TABLED: Final = 100
"""How many it takes at all; more than `MAX_COMPARED` are the lines of a table."""
LETTERS: Final = "ABCDEF"
"""The names of compared models, in their order."""
