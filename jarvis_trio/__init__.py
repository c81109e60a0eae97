"""jarvis_trio: the streaming chat server that its users cannot hang."""

__version__ = "0.1.0"
