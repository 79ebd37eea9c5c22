"""What the server tells about itself: metrics, traces, logs and health. Decides nothing that a session decides."""
