"""What the episodes mean: records, rates and figures. Needs neither torch nor numba."""
