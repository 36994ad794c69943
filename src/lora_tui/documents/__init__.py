"""Documents for other people: the facts about a model, and what is read of the cache for a report.

May import `cache`, `adapters` and `reports`; commands and screens use it alike.
"""
