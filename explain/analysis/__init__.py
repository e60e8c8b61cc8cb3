"""Analysis of runs: ranking, findings, checks, comparison."""
