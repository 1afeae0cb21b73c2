"""Peak training memory of a cell without its weights and without a GPU.

The settings of a forecast are in config/step_load.py. Only the modules that build models import torch.

- client.py: takes cells and returns figures, for the rest of the harness.
- compute.py: computes the figures at every batch size, and whether a cell fits.
- prepared_cell.py, synthetic_step.py: build the cell's model, method, loss and optimiser on the meta device, and run
  one training step of them; gpu_measurement.py measures the same step on a GPU.
- cuda_rules.py, attention_kernels.py: correct for what a CUDA device allocates differently from the meta device.
- quantised_shapes.py: gives the shapes of a base in few bits, where its library cannot work.
- gpu_hours.py: estimates hours on a GPU. finished_cells.py, cell_work.py, duration.py: seconds, by the rates
  of finished cells. disk.py: the bytes that a cell keeps.
- exhibit_rows.py, device_fit.py, dry_run.py: exhibits of forecasts, a plan's advice on a device, and the
  text of a plan.
"""
