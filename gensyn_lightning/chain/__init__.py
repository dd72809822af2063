"""Where the budget lies until a job is settled, and where receipts are kept for good."""
