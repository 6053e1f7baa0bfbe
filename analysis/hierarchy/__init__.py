"""The sequential beta-binomial over agents, families and shift types, and how far to trust it."""
