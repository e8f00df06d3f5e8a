"""Fault injection between the real Collector and real servers."""
