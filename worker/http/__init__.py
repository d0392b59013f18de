"""HTTP to carriers and the platform: descriptions of calls, accounts, and the gateway that sends the calls."""
