"""Measurements of finished cells that are made when they are asked for: one file per probe."""
