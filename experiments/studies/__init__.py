"""Studies: many runs that answer one question, and what they leave."""
