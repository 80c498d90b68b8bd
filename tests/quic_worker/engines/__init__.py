"""Tests of the QUIC engines."""
