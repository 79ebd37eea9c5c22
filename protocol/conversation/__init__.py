"""The brain of a session: a pure machine from events to actions. Performs nothing itself."""
