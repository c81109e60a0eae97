"""``hypercorn -c hypercorn.toml jarvis_trio.asgi:app``."""

import os

from jarvis_trio.assembly import build_app
from jarvis_trio.config import load_settings
from jarvis_trio.errors import ConfigError
from jarvis_trio.web.hypercorn_floods import bound_hypercorn
from jarvis_trio.web.hypercorn_mends import mend_hypercorn

mend_hypercorn()
try:
    settings = load_settings(os.environ)
    bound_hypercorn(settings.receive_timeout_s)
    app = build_app(settings, is_under_hypercorn_cli=True)
except ConfigError as error:
    # A sentence, not a traceback: whoever operates this has to mend a setting.
    raise SystemExit(f"jarvis_trio: {error.message}") from None
