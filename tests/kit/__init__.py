"""What the tests share: real processes to start, real origins to put behind the tunnel, real clients."""
