"""A day with a GPU: everything that only a GPU can show, measured by one command in order of worth."""
