"""Local venues: small servers that speak real venues' wire formats, for tests and for developing without a network."""
