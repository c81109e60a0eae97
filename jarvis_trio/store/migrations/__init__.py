"""How the tables came to be as they are; each file of ``versions`` is one step."""
