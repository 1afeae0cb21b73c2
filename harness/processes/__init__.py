"""The process of one attempt: forkserver, child, failures and leases on GPUs."""
