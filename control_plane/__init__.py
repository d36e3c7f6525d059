"""The stateless edge: HTTP and WebSocket API, scheduling, ingest, leads store, exports, command line."""
