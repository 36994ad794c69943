"""The backends that the contract suite runs against, and the rows it puts there."""
