"""Documents of models: comparison, model card, tables, curves as pictures."""
