"""What the server tells about itself: logs and health. Measures nothing that a session decides."""
