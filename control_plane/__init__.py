"""The control plane: a stateless HTTP and WebSocket API, scheduling, ingest, leads and exports."""
