"""The lead domain: model, extraction, normalisation, identity, score. Pure functions, no I/O."""
