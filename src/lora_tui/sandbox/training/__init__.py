"""Live runs of the sandbox: queued jobs start, log points, and finish, fail or are cancelled.

May import the rest of the sandbox but `server`, and what is below it. Off unless the sandbox is
started with `training=True`: most tests need rows that don't change by themselves.
"""
