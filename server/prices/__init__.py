"""Prices in files: the list that comes along and the operator's own; and who is told of what could not be priced."""
