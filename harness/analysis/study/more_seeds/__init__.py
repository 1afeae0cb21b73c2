"""What more seeds or test rows would decide, and how often a comparison may be looked at."""
