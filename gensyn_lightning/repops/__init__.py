"""Operators that give the same bits on every machine: one definition, a reference and kernels."""

VERSION = "repops-1"
