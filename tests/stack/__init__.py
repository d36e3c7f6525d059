"""The stack of infra/compose.yaml in real containers: used, killed, cut off and attacked. ``make stack-test``."""
