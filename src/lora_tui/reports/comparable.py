"""How many models can be compared; on its own, since the list needs no more than that at first."""

LEAST, MOST = 2, 6
