"""Cells side by side in one pass: trained where they differ in their rate alone, or asked with rows of their own."""
