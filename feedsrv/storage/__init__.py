"""Storage, memory first, in files or in Redis."""
