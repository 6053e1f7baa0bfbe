"""Levels and agents to look at: pictures, films, maps, and play in a terminal."""
