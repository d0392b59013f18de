"""Protection of accounts and of this process: rate limits, circuit breakers, bulkhead, cached prices, call journal."""
