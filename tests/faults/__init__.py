"""Failures on purpose, between the real Collector and real servers."""
