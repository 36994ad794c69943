"""The data that a new sandbox starts with: accounts, datasets, jobs, models and their files.

It may import `sandbox.postgrest.tables`, `sandbox.objects` and `quality`; only `fill` needs more.
"""
