"""The ledger: shards of texts scored by any number of workers on any number of machines, with files as the record."""
