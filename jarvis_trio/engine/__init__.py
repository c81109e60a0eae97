"""Streams and sessions: every answer is one tree of tasks under its session's scope."""
