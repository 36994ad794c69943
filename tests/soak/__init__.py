"""Runs the application for a long time on a backend with random faults."""
