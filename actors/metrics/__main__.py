"""`python -m actors.metrics`: started by the supervisor, never by hand."""

from actors.metrics.actor import main

main()
