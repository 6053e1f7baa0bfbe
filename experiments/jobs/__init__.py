"""Jobs: the one scheduler, its processes, and those of a cluster."""
