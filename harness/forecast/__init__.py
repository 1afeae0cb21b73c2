"""Peak training memory of a cell without its weights and without a GPU.

- load.py: what is asked (lengths, kernel, checkpointing, accumulation). Torch-free.
- ask.py: cells in, figures out, for the rest of the harness; the share of a GPU. Torch-free.
- answer.py: the figures, at every batch size; does it fit, and what would.
- probe.py: one training step of the cell's own model, method, loss and optimiser on the meta device.
- live.py, log.py: which storages live when, and what for; also of a real step on a real device.
- ways.py, attention.py: what a CUDA device allocates otherwise than the meta device.
- fourbit.py: the shapes of a four-bit base, where its library cannot work.
"""
