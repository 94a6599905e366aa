"""Feeds: from stored listings to documents (Atom, RSS, JSON Feed, OPML)."""
