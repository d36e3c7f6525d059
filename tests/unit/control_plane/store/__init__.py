"""The leads store."""
