"""Turns measurements into bench/RESULTS.md, a chart for the README, and a gate."""
