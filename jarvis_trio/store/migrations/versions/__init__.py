"""The steps. Their revisions are numbers, so that a later one is known as such."""
