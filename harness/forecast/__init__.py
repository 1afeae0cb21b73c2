"""Peak training memory of a cell without its weights and without a GPU.

- load.py: what is asked (lengths, kernel, checkpointing, accumulation). Torch-free.
- ask.py: cells in, figures out, for the rest of the harness; the share of a GPU. Torch-free.
- answer.py: the figures, at every batch size; does it fit, and what would.
- subject.py, probe.py: the cell's own model, method, loss and optimiser, and one training step of them, on the meta
  device; measure.py: the same step on a GPU.
- live.py, log.py: which storages live when, and what for; also of a real step on a real device.
- ways.py, attention.py: what a CUDA device allocates otherwise than the meta device.
- quantised.py: the shapes of a base in few bits, where its library cannot work.
- exhibit.py, advice.py: exhibits of forecasts, and what a plan says of a device. Torch-free.
"""
