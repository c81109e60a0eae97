"""The words that clients name things by."""

import re
from typing import Final

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""A session, or a request."""

PROMPT_ORDER: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([0-9]{1,15})")
"""A client, and which of its prompts."""
