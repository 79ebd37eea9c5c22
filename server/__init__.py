"""The server: the front door, sessions, the rooms they use, and the commands that start it all."""
