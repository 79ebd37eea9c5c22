"""The steps by which the schema came to be, run by Alembic at the start. Each stays as it was released."""
