"""The typed configuration of a cell, and how words, YAML files and Hydra become one."""
