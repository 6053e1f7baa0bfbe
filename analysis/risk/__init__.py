"""The probability model: scenario risks with uncertainty on every input."""
