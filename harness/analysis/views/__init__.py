"""The exhibits' tables, one file for each kind, and the statistical tests behind their claims."""
