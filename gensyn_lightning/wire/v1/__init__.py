"""Messages generated from proto/v1 by `make proto`."""
