"""The machine: it runs cells and reads records. It knows no method's name and no task's name."""
