"""Model servers: each provider turns a chat request into deltas."""
