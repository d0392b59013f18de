"""Protection of accounts and of this process: limits, breakers, shares of the threads, cached prices, the journal."""
