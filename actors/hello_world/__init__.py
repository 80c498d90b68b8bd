"""The page of `--hello-world`: shows a newcomer in one command that the tunnel works, WebSocket and stream included."""
