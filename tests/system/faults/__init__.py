"""The fault matrix: one test for each row, against the real daemon, keeper and agents."""
