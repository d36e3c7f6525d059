"""The test suite: unit, integration, contract, faults; laid out like the source."""
