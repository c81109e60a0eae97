"""OpenAI's chat format, both ways: towards our clients and from compatible upstreams."""
