"""The mock model server: Ollama's API and OpenAI's on one port, every fault by a model's name.

Above: ``jarvis-trio sim``, tests and measurements, which point a server at it and read what it
recorded. Below: sockets, httptools, msgspec. It does not know `jarvis_trio.wire`: a mock made of
our own codecs would share their mistakes.

::

    command        the process: its one line, its signals
    └─ server      the routes; one task per connection
       ├─ door         listens and lets in
       ├─ protocol     HTTP/1.1 in and out, byte by byte
       ├─ asks         request bodies → what is asked, and the prompt's marker
       ├─ scenarios    a model's name → what the answer does
       ├─ answers      makes one answer, in time, with its fault
       │  ├─ shapes       the JSON of each API
       │  └─ pacing       one clock for all answers
       └─ recording    what happened, when, in which order
          └─ watch        sees peers close, before anything later arrives
"""

from jarvis_trio.storm.sim.scenarios import SimOptions
from jarvis_trio.storm.sim.server import serve_sim

__all__ = ["SimOptions", "serve_sim"]
