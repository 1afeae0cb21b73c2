"""How a delta is attached to a model, and what of it is saved."""
