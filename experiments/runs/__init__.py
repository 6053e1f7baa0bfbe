"""Runs: training and evaluation, and the folders that they leave."""
