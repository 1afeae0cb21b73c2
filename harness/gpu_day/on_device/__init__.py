"""What a day measures in processes of their own, which use the device and import torch."""
