"""The tools that run here: what the model may call, and how a call becomes a result. Knows no conversation."""
