"""What a usage costs: rates, the price book, a deployment's terms, and the arithmetic. Exact; no file, no clock."""
