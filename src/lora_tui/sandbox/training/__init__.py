"""Live runs of the sandbox: queued jobs start, log points, and finish, fail or are cancelled.

Off unless `Sandbox.start(training=True)`: most tests need rows that don't change by themselves.
May import the rest of `sandbox`.
"""
