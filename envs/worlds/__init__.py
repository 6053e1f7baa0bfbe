"""Scalar vocabulary of kinds of worlds, without goals or cues, for families to write rules in."""
