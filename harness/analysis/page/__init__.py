"""The page that people look at: one HTML file with verdicts, exhibits and every attempt, and a server that shows it."""
