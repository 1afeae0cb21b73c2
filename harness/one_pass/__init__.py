"""Cells that differ in their learning rate alone, trained side by side in one pass over the rows."""
