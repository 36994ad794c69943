"""Push: an adapter of a local directory becomes a model like a harvested one.

The schema requires a training job for each model. An adapter trained elsewhere gets a job row of
its own, whose id is derived from weights and configuration, so a second push makes no second model.
Imports harvest and what lies below it.
"""
