"""The HTTP interface: requests in, readers of streams out."""
