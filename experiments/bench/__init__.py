"""`misgen bench TOPIC`: speed on this machine."""
