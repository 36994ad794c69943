"""Harvest: each completed training job becomes one stored, rated and announced model.

The next run finishes what a crash interrupted: ids are derived from the job's id, every step can be
repeated, and the job leaves the queue with the last write. Imports transfers, adapters, gateway and
what lies below them.
"""
