"""The embedded stack: Valkey, S3, control plane, nodes and sample town as processes of one machine."""
