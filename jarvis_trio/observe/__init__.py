"""Seeing inside: structured logs and metrics."""
