"""The OpenAI / Azure OpenAI Realtime wire: events, items, sessions, responses, usage and their codec.

GA names are canonical.
"""
