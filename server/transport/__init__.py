"""Byte wires, and one WebSocket class over them for both sides; nothing here knows what a message says."""
