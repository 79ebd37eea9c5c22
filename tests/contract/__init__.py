"""What this server relies on at the services behind it: one set of tests, for the simulator and for the real ones.

``make live`` runs them with the settings of the environment and ``.env`` as well.
"""
