"""The core: estimates, clusters and events. Pure: no I/O, no clock, no randomness."""
