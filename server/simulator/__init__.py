"""A Realtime service of our own: embedded upstream, test double and load target. Independent of the server."""
