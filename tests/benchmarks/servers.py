"""The peers: how each is installed, configured and started, as its own documentation has it."""

import platform
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from tests.benchmarks.peer import FOLDER, OURS, ROOT, Command, NotHereError, Peer, Setting

GRACE_SECONDS = 5
OUR_KEY = "devkey"

LLAMA_CPP_LAYERS = 26
LLAMA_CPP_TOKENS = 200

LITELLM = """\
model_list:
  - model_name: sim
    litellm_params:
      model: openai/sim
      api_base: {sim_url}/v1
      api_key: none
general_settings:
  master_key: {key}
"""

LITELLM_KEY = "sk-peers-of-jarvis-trio-0123456789-abcdefghijklmnop"
"""It does not start without one that looks strong; this opens nothing else."""

NGINX = """\
daemon off;
worker_processes 2;
worker_shutdown_timeout {grace}s;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {sim_url};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def _installed(requirements: list[str], shown: list[str]) -> Callable[[Path], str]:
    """Return what installs packages into an environment of their own, and tells versions."""

    def prepare(environment: Path) -> str:
        python = _python(environment)
        if not python.exists():
            venv.create(environment, with_pip=True, symlinks=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        done = subprocess.run(
            [*pip, "install", *requirements], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotHereError(f"pip install {' '.join(requirements)} failed: {done.stderr[-500:]}")
        tell = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
        versions = subprocess.run(
            [str(python), "-c", tell, *shown], capture_output=True, text=True, check=True
        ).stdout.split()
        told = [f"{name} {version}" for name, version in zip(shown, versions, strict=True)]
        return ", ".join([*told, f"Python {platform.python_version()}"])

    return prepare


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _our_version(_: Path) -> str:
    names = ("jarvis-trio", "hypercorn", "trio")
    told = [f"{name} {metadata.version(name)}" for name in names]
    return ", ".join([*told, f"Python {platform.python_version()}"])


def _ours(setting: Setting) -> Command:
    words = [sys.executable, "-m", "jarvis_trio", "serve", "--port", str(setting.port)]
    variables = {"PYTHONPATH": str(ROOT), "JARVIS_GRACEFUL_TIMEOUT_S": str(GRACE_SECONDS)}
    return Command([*words, "--upstream", f"openai:{setting.sim_url}/v1"], variables)


def _ours_twice(setting: Setting) -> Command:
    one = _ours(setting)
    line = shlex.join([*one.words, "--reuse-port"])
    both = f'{line} & one=$!; {line} & two=$!; trap "kill $one $two" TERM; wait; wait'
    return Command(["sh", "-c", both], one.variables)


def _ours_with_debug(setting: Setting) -> Command:
    plain = _ours(setting)
    return Command(plain.words, {**plain.variables, "JARVIS_LOG_LEVEL": "debug"})


def _starlette(setting: Setting) -> Command:
    python = _python(FOLDER / "starlette")
    words = [str(python), "-m", "uvicorn", "starlette_gateway:app", "--port", str(setting.port)]
    words += ["--app-dir", str(ROOT / "tests" / "benchmarks")]
    words += ["--timeout-graceful-shutdown", str(GRACE_SECONDS)]
    return Command(words, {"UPSTREAM": f"{setting.sim_url}/v1"})


def _litellm(setting: Setting) -> Command:
    program = FOLDER / "litellm" / "bin" / "litellm"
    config = setting.folder / "litellm.yaml"
    config.write_text(LITELLM.format(sim_url=setting.sim_url, key=LITELLM_KEY), "utf-8")
    words = [str(program), "--config", str(config), "--host", "127.0.0.1"]
    # Else it looks for the newest price list on the web before it starts.
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Command([*words, "--port", str(setting.port)], variables)


def _nginx_version(_: Path) -> str:
    program = _nginx_program()
    if program is None:
        raise NotHereError("no nginx on this machine (Debian: apt-get install nginx-light)")
    done = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    version = re.search(r"nginx/(\S+)", done.stderr)
    return f"nginx {version[1] if version else done.stderr.strip()}"


def _nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _nginx(setting: Setting) -> Command:
    config = setting.folder / "nginx.conf"
    places = {"folder": setting.folder, "port": setting.port, "sim_url": setting.sim_url}
    config.write_text(NGINX.format(grace=GRACE_SECONDS, **places), "utf-8")
    # SIGTERM is nginx's fast end; whoever runs it well (Debian's unit, its own image) sends
    # SIGQUIT, and so does the shell here.
    line = f'{_nginx_program()} -c {config} & nginx=$!; trap "kill -QUIT $nginx" TERM; wait; wait'
    return Command(["sh", "-c", line])


def _llama_cpp_version(_: Path) -> str:
    try:
        return f"xllamacpp {metadata.version('xllamacpp')}"
    except metadata.PackageNotFoundError:
        raise NotHereError("xllamacpp cannot be imported here") from None


def _llama_cpp(setting: Setting) -> Command:
    from tests.end_to_end.llama_cpp.model import write_model

    model = setting.folder / "word-salad.gguf"
    write_model(model, layers=LLAMA_CPP_LAYERS)
    program = ROOT / "tests" / "end_to_end" / "llama_cpp" / "server.py"
    words = [sys.executable, str(program), str(model), str(setting.port)]
    return Command([*words, "--parallel", "4", "--predict", str(LLAMA_CPP_TOKENS)])


def hypercorn_floor(name: str, application: str, what: str) -> Peer:
    """Return what makes the tokens itself, under Hypercorn's trio worker alone."""

    def command(setting: Setting) -> Command:
        words = [sys.executable, "-m", "hypercorn", "-k", "trio", "-w", "0"]
        words += ["-b", f"127.0.0.1:{setting.port}"]
        program = f"tests.benchmarks.bench.floor:{application}"
        return Command([*words, program], {"PYTHONPATH": str(ROOT)})

    told = f"bare Hypercorn, which makes the tokens itself: {what}; no model server, no gateway"
    return Peer(name, told, _our_version, command, is_behind_sim=False)


OURS_TWICE = Peer(
    f"{OURS} x2",
    "two processes of this project that share a port (`--reuse-port`, SO_REUSEPORT)",
    _our_version,
    _ours_twice,
    key=OUR_KEY,
    ready="jarvis_trio ready on ",
    processes=2,
)
OURS_WITH_DEBUG = Peer(
    f"{OURS} debug",
    "this project, telling its log every event of every frame (`JARVIS_LOG_LEVEL=debug`)",
    _our_version,
    _ours_with_debug,
    key=OUR_KEY,
)
"""Ours in other ways: for what it costs, not for the storm."""

PEERS = [
    Peer(
        OURS,
        "this project, with its own settings",
        _our_version,
        _ours,
        key=OUR_KEY,
    ),
    Peer(
        "Starlette",
        "the gateway of tutorials, `tests/benchmarks/starlette_gateway.py`, on uvicorn",
        _installed(
            ["starlette", "uvicorn[standard]", "httpx"],
            ["starlette", "uvicorn", "uvloop", "httptools", "httpx"],
        ),
        _starlette,
    ),
    Peer(
        "LiteLLM",
        "LiteLLM's proxy, without a database and with its own defaults",
        _installed(["litellm[proxy]"], ["litellm", "uvicorn"]),
        _litellm,
        key=LITELLM_KEY,
    ),
    Peer(
        "nginx",
        "nginx as a plain reverse proxy, 2 workers, `proxy_buffering off`, no access log; SIGTERM "
        "is handed to it as SIGQUIT",
        _nginx_version,
        _nginx,
    ),
    Peer(
        "llama.cpp",
        "llama.cpp's own server, a model server itself: played without the mock one. 4 slots, a "
        f"model of {LLAMA_CPP_LAYERS} layers with random weights, answers of at most "
        f"{LLAMA_CPP_TOKENS} tokens: nobody would wait for the end of its context",
        _llama_cpp_version,
        _llama_cpp,
        is_behind_sim=False,
        # Its process is a Python program of ours round its library.
        can_be_told_to_go=False,
    ),
]
