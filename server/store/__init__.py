"""The records: what was said, searched and paid in every session, kept in a database. Decides nothing about them."""
