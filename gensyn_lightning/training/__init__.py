"""Deterministic training: capture a program, run segments, turn state into canonical bytes."""
