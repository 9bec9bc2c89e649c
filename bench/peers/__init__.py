"""Brokers and clients of others, as a careful user would write them."""
