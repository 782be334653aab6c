"""The ledger: shards of texts, scored by any number of workers on any number of machines; files hold the state."""
