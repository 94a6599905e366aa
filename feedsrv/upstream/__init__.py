"""Upstream: fetching and parsing huggingface.co/papers."""
