"""Reports on models: the comparison, the model card, and tables as Markdown and CSV.

May import `domain`, `opinion` and `formats`. This file stays light: the list of models needs it.
"""

from typing import Final

MIN_COMPARED: Final = 2
MAX_COMPARED: Final = 6
"""How many models one comparison takes."""
LETTERS: Final = "ABCDEF"
"""The names of compared models, in their order."""
