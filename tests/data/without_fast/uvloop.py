"""Put first on the path, it hides uvloop: as it is where the extra [fast] was not installed."""

raise ImportError("hidden by a test: without the extra [fast] there is no uvloop")
