"""Feeds: each yields market snapshots, whether recorded, simulated or live."""
