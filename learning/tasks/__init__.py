"""What a community learns: one module per task, with its record format, loss and metric."""
