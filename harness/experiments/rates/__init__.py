"""Learning rates that finished cells choose: among the rates that a grid lists, or by a search of its own."""
