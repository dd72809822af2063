"""Solver and verifier: processes that dial out, lease work, run it and sign what they found."""
