"""Everything on one machine: the supervisor of `up` and `demo`. A deployed worker never imports it."""
