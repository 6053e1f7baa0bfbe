"""What modifies the rates, measured as ratios of arms over agents."""
