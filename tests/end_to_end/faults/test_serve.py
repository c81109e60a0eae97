"""``jarvis-trio serve``: our own launcher."""

import signal
import socket
import ssl
import subprocess
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.faults.raw_clients import (
    WINDOW,
    H2Client,
    body_of,
    connect,
    post,
    read_until,
    read_until_closed,
)
from tests.end_to_end.processes import KEY, Sim, reserved_port, stop, wait_until_up
from tests.end_to_end.serving import command, environment, refusal, serving

ENDLESS = "sim?tps=20&tokens=100000"
FLOOD = "sim?tps=0&tokens=1000000"
SOON = 30


def at_socket(tmp_path: Path) -> list[str]:
    return ["--unix-socket", str(tmp_path / "socket")]


async def test_it_accepts_when_it_says_so_and_answers(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0") as server:
        answer = await prompt(server.url, "What is 2+2?")
        assert answer.is_complete


async def test_a_first_signal_gives_a_grace_and_a_second_ends_it(tmp_path: Path, sim: Sim) -> None:
    upstream = sim.upstream("openai")
    asked = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else it is ignored, as nohup wants
        asked.append(signal.SIGHUP)
    for number in asked:
        with serving(tmp_path, "--port", "0", "--upstream", upstream) as server:
            async with trio.open_nursery() as nursery:
                exchange = Exchange()
                ask = partial(prompt, server.url, "x", exchange=exchange, model=ENDLESS)
                nursery.start_soon(ask)
                with trio.fail_after(10):
                    await exchange.first_text.wait()
                server.process.send_signal(number)
                server.wait_for_log("drain_begin")
                assert server.process.poll() is None
                server.process.send_signal(number)
                assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0
            assert exchange.error_code == "server_shutdown"
            assert exchange.ends_with_done


@pytest.mark.parametrize("address", ["tcp", "unix"])
async def test_a_stalled_client_holds_nothing_up_beyond_the_grace(
    tmp_path: Path, sim: Sim, address: str
) -> None:
    options = ["--port", "0"] if address == "tcp" else at_socket(tmp_path)
    upstream = sim.upstream("ollama")
    with (
        serving(tmp_path, *options, "--upstream", upstream, graceful_timeout_s="1") as server,
        connect(server, receive_buffer=4096) as stalled,
    ):
        stalled.sendall(post(body_of("marker:flood", model=FLOOD), "stalled"))
        await sim.wait_for("flood", "first_byte")
        server.process.terminate()
        assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0


def test_a_client_of_a_unix_socket_that_stops_reading_is_dropped(tmp_path: Path, sim: Sim) -> None:
    with (
        serving(
            tmp_path,
            *at_socket(tmp_path),
            upstream=sim.upstream("ollama"),
            write_stall_timeout_s="1",
        ) as server,
        connect(server) as stalled,
    ):
        stalled.sendall(post(body_of("x", model=FLOOD), "stalled"))
        server.wait_for_log("stream_end", trace="stalled", cause="client_stalled")
        sim.wait_until_all_closed()
        assert b"[DONE]" not in read_until_closed(stalled)


async def test_a_stalled_client_of_a_unix_socket_delays_no_prompt_of_its_session(
    tmp_path: Path, sim: Sim
) -> None:
    with (
        serving(tmp_path, *at_socket(tmp_path), upstream=sim.upstream("ollama")) as server,
        connect(server) as stalled,
        connect(server) as following,
    ):
        stalled.sendall(post(body_of("marker:flood", model=FLOOD), "busy"))
        await sim.wait_for("flood", "first_byte")
        following.settimeout(10)
        following.sendall(post(body_of("x", model="sim", max_tokens=2), "busy"))
        answer = read_until(following, b"data: [DONE]")
        assert b'"finish_reason":"length"' in answer
        server.wait_for_log("stream_end", trace="busy", cause="superseded")


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port}" in refusal("--port", port)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "http"], "JARVIS_PORT"),
        (["--host", "not a host"], "choose another with --host"),
        (["--host", "192.0.2.1"], "choose another with --host"),
        (["--certfile", "nowhere.pem"], "needs both"),
        (["--certfile", "nowhere.pem", "--keyfile", "nowhere.pem"], "nowhere.pem"),
        (["--unix-socket", "/no/such/folder/s"], "cannot listen on /no/such/folder/s"),
        (["--unix-socket", "/dev/null"], "cannot listen on /dev/null: it is there, and no socket"),
        (["--unix-socket", "/dev/null/s"], "cannot listen on /dev/null/s: Not a directory"),
        (["--upstream", "llama"], "JARVIS_UPSTREAM"),
        (["--http3"], "HTTP/3 needs TLS"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(options: list[str], said: str) -> None:
    assert said in refusal(*options)


def test_a_key_with_a_passphrase_is_a_sentence_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    loaded = load_pem_private_key(issued.private_key_pem.bytes(), None)
    secret = BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, secret))
    said = refusal("--certfile", str(certificate), "--keyfile", str(key))
    assert "a key with a passphrase cannot be used" in said


async def test_every_http2_stream_is_ended_at_a_shutdown(tmp_path: Path, sim: Sim) -> None:
    """The connection closes behind the last of them, not before."""
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    streams = 20
    with (
        serving(tmp_path, *options, graceful_timeout_s="1") as server,
        connect(server) as sock,
    ):
        client = H2Client(sock, stream_window=WINDOW)
        numbers = [client.post(body_of("x", model=ENDLESS), f"h2-{n}") for n in range(streams)]
        server.wait_for_log("first_event", count=streams)
        server.process.terminate()
        while client.ended != set(numbers):
            client.read_once()
        for number in numbers:
            assert b'"code":"server_shutdown"' in client.data[number]
            assert client.data[number].endswith(b"data: [DONE]\n\n")
        assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0


def test_a_signal_that_comes_too_early_or_too_late_ends_nothing(tmp_path: Path) -> None:
    """SIGUSR1 asks what the server is doing, also when nobody answers any more."""
    with serving(tmp_path, "--port", "0") as server:
        server.process.terminate()
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGUSR1)
            time.sleep(0.001)


def test_the_example_it_prints_has_no_key_that_would_be_refused(tmp_path: Path) -> None:
    """The one that anybody may read in a log is not printed either."""
    for keys, shown in ({}, "devkey"), ({"api_keys": "mine"}, "YOUR-KEY"):
        process = subprocess.Popen(
            command("--port", "0"), env=environment(**keys), stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            assert f"Bearer {shown}'" in process.stdout.readline()
            process.terminate()


@pytest.mark.parametrize("stdout", ["&-", "/dev/full"])
def test_it_serves_also_where_its_line_cannot_be_printed(tmp_path: Path, stdout: str) -> None:
    console = tmp_path / "console.txt"
    with reserved_port() as port, console.open("wb") as errors:
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" >{stdout}', "sh", *command("--port", str(port))],
            env=environment(),
            stderr=errors,
        )
        try:
            wait_until_up(process, f"http://127.0.0.1:{port}/healthz", console, None)
        finally:
            assert stop(process) == 0
    assert "Traceback" not in console.read_text("utf-8")


def test_a_unix_socket(tmp_path: Path) -> None:
    """Also where a killed server has left its own behind; not where a live one answers."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with serving(tmp_path, "--unix-socket", str(path)) as server:
        assert server.url == f"unix:{path}"
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=30) as client:
            answer = client.post("/v1/chat/completions", json={"prompt": "2+2"}, headers=KEY)
            assert answer.status_code == 200
        assert "another server answers there" in refusal("--unix-socket", str(path))


def test_tls_with_http2(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    both = str(tmp_path / "both.pem")
    with (
        serving(tmp_path, "--port", "0", "--certfile", both, "--keyfile", both) as server,
        httpx.Client(http2=True, verify=context, trust_env=False, timeout=30) as client,
    ):
        assert server.url.startswith("https://")
        answer = client.get(f"{server.url}/v1/models", headers=KEY)
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")


def test_processes_share_a_port_only_when_both_are_asked_to(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0", "--reuse-port") as first:
        port = first.url.rpartition(":")[2]
        with serving(tmp_path, "--port", port, "--reuse-port") as second:
            assert second.url == first.url
        assert "cannot listen" in refusal("--port", port)
