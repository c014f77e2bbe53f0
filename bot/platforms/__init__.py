"""Chat platforms: each shows the same messages and takes the same commands."""
