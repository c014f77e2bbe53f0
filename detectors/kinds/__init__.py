"""One file an event kind; each exposes ``KIND``. Kinds never import kinds."""
