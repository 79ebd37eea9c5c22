"""What several replicas share: how much was used, and how much is in use. It decides no limit."""
