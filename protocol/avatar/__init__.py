"""Our own extension events on the client wire: ``session.init``, ``avatar.*``. The Realtime events are next door."""
