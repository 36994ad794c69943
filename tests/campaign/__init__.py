"""Runs processes under random faults, and checks what must hold afterwards."""
