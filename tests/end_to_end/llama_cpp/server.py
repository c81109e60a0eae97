"""A real llama.cpp server, in a process of its own: ``python server.py MODEL PORT``.

Prints ``ready http://127.0.0.1:PORT`` when it answers; port 0 means any free one. SIGTERM ends it
at once with status 0. llama.cpp's own log goes to stderr.
"""

import argparse
import os
import signal
import sys
import time
import urllib.request

from xllamacpp import CommonParams, Server

_READY_WITHIN_SECONDS = 30.0


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("--parallel", type=int, default=2, help="slots")
    parser.add_argument("--ctx", type=int, default=32_768, help="tokens, shared out over the slots")
    # llama.cpp's default is 2048. Between two batches of a prefill is where it can be stopped.
    parser.add_argument("--batch", type=int, default=128, help="tokens of a prefill step")
    parser.add_argument("--predict", type=int, default=-1, help="most tokens of an answer")
    arguments = parser.parse_args()

    # Blocked before the server starts its threads, so that they inherit it and sigwait gets it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = Server(_parameters(arguments))
    _wait_until_healthy(server.listening_address)
    sys.stdout.write(f"ready {server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # Not `del server`: its destructor waits for the running answers, and keeps the GIL meanwhile.
    os._exit(0)


def _parameters(arguments: argparse.Namespace) -> CommonParams:
    parameters = CommonParams()
    parameters.model.path = arguments.model
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = arguments.port
    parameters.n_parallel = arguments.parallel
    parameters.n_ctx = arguments.ctx
    parameters.n_batch = arguments.batch
    parameters.n_predict = arguments.predict
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    parameters.endpoint_slots = True
    parameters.endpoint_metrics = True
    # Every prompt pays for its whole prefill, however often a test has sent it.
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    return parameters


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310 - our own http url
                if response.status == 200:
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


if __name__ == "__main__":
    main()
