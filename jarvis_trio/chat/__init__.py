"""The chat in a terminal: a client, which shares nothing with the server but formats."""
