"""What was measured, as bench/RESULTS.md, as a chart for the README, and as a gate."""
