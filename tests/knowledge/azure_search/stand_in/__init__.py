"""A stand-in for Azure AI Search: a TLS server that speaks its REST API strictly, for tests on this machine.

It shares no code with the adapter. What it cannot do it refuses (501), and what the service refuses it refuses with the
service's status and shape of error; wordings are the service's where they are known from its users' reports.
"""
