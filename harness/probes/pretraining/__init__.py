"""What probes measure of a backbone's pretraining."""
