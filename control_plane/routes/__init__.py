"""One blueprint a resource. Routes call services; they hold no state and take no decisions."""
