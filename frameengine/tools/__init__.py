"""Tools that plans may name: a registry, and a database query that can only read."""
