"""The store: identity of cells, attempts, records, leases, index, archives and garbage collection."""
