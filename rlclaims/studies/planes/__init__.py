"""Return and surrogate on a plane around a policy, for pictures."""
