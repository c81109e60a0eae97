"""The application, but a refusal may come a minute after its prompt and still be a real status.

Of the second that it is given, a test that plays the model server might spend more on waiting for
its turn on a busy machine. That it is a second is seen in tests/web/test_commit.py.
"""

from jarvis_trio.asgi import app
from jarvis_trio.web import openai_routes

__all__ = ["app"]

openai_routes.HEADERS_COMMIT_SECONDS = 60.0  # type: ignore[attr-defined]  # imported there
