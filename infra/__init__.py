"""What surrounds the two machines: the embedded stack, the sample town, container and cloud definitions."""
