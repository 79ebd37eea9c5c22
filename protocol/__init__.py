"""What is said on the wires and what must happen next.

Pure: stdlib and msgspec only; no clock, socket, file or chance.
"""
