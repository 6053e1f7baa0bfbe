"""Commands that answer from records and calibrations."""
