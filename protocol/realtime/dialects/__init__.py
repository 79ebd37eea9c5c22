"""The shapes of the Realtime wire that clients speak besides GA, put into GA and back. GA itself is next door.

Inside and towards the service everything is GA. A client's ``Dialect`` stands at the edge of its connection, so that
the machine, what is kept for a client that comes back, and the session never see another shape.
"""
