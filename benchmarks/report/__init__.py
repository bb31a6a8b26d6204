"""What was measured: kept as JSON, shown as tables, charts and ratios."""
