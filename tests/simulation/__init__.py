"""Whole sessions in simulated time, by seed: a model of the service, a model of a page, and faults between them.

Everything between the wires is the product: admission, registry, sessions, machine and transport. What is modelled is
what stands outside: the Realtime service, the knowledge base, and the people with their pages.
"""
