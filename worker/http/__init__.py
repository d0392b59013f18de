"""HTTP to carriers and the platform: the described call, the account it goes to, and the gateway that sends it."""
