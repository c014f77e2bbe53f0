"""The store: series, checkpoints, alerts and deliveries. Knows the core's types, never an event kind."""
