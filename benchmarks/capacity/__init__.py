"""How early overflows of regions are announced, and how well the couriers they take are told."""
