"""The way to the Realtime service: connectors, and the link that connects with back-off. Reads no events."""
