"""What the estimate, the replay and the charts cost, and how near the estimate comes: ``python -m benchmarks``."""
