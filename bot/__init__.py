"""The shell: the only ring that does I/O or reads the clock."""

VERSION = "0.1.0"
