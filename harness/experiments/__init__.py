"""Choices become cells: an exhibit's YAML is read (exhibits.py), changed by the words of a command (overrides.py),
expanded into cells (grids/), and planned where some of the cells choose the learning rates of others (rates/). Claims
and views are data, too.
"""
