"""What travels between machines: records as messages, errors as statuses, and both ends."""

from __future__ import annotations

import os

# Read by gRPC when it is imported; otherwise it tells people on stderr about every lost connection.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
