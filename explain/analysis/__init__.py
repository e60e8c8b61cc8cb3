"""What a run tells: ranking, findings, checks, comparison."""
