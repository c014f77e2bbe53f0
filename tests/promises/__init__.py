"""Faults planted into copies of the code, each of which a named test must turn red (docs/RELIABILITY.md)."""
