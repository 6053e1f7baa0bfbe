"""What no family writes: levels, batches of environments, pictures, planners, the contract."""
