"""The coordinator: decodes, asks the protocol, stores, performs."""
