"""A calibration on one HTML page."""
