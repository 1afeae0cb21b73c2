"""Where a running cell is followed outside the store: one file per tracker."""
