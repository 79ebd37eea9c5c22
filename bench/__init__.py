"""Measures a running server from outside, on this machine. Imports nothing of the server: it is another side."""
