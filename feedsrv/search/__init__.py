"""Query language: words, patterns, and finding papers."""
