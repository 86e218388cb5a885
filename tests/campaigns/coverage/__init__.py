"""How often the intervals of `vitret.compare` hold the truth, and how often its tests separate equal systems."""
