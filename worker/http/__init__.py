"""HTTP to carriers and the platform: the described call, the account, and the gateway that sends it."""
