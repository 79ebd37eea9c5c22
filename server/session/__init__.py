"""A session: one nursery with its three tasks, and the registry that owns all sessions. Knows no sockets."""
