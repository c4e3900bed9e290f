"""The virtual controller unit: leases, its own plan, a second guard."""
