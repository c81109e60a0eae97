"""Settings: ``JARVIS_*`` in the environment, over ``jarvis.toml``, over the defaults.

A misspelt name is refused with the nearest real one: a setting that silently does nothing is
worse than one that is missing. Units are in the names.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from jarvis_trio.errors import ConfigError

PREFIX = "JARVIS_"

Seconds = Annotated[float, Meta(gt=0)]
Milliseconds = Annotated[float, Meta(ge=0, le=60_000)]
Count = Annotated[int, Meta(ge=1)]

HEADERS_COMMIT_SECONDS = 1.0
"""A streaming answer's headers are sent when the upstream has accepted, or after this."""

WRITE_SLICE_BYTES = 16 * 1024
"""The most that one write to a client carries."""

REPLAY_LIMIT_BYTES = 256 * 1024
"""Frames that one stream holds for its readers; past it the upstream is back-pressured."""

RESUME_LIMIT_BYTES = 1024 * 1024
"""The same for a stream that lives on: some minutes' text, for a page that is loaded anew."""

KEPT_LIMIT_BYTES = 64 * 1024 * 1024
"""Frames of ended streams that are held for clients that come back, in total."""

LINGER_SECONDS = 10.0
"""How long a client that is refused may go on sending, so that it gets to read why."""

LINGER_WHILE_DRAINING_SECONDS = 0.5
"""The same while the server shuts down."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting there is. The README's table is checked against this class."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    unix_socket: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    reuse_port: bool = False
    http3: bool = False
    upstream: str = "auto"
    upstream_key: str | None = None
    api_keys: tuple[str, ...] = ()
    admin_keys: tuple[str, ...] = ()
    flush_window_ms: Milliseconds = 75
    flush_bytes: Count = 1024
    cleanup_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 2
    connect_timeout_s: Seconds = 5
    first_token_timeout_s: Seconds = 120
    idle_timeout_s: Seconds = 60
    receive_timeout_s: Seconds = 30
    write_stall_timeout_s: Seconds = 20
    graceful_timeout_s: Seconds = 10
    keepalive_s: Seconds = 10
    max_streams: Count = 1000
    max_queue: Annotated[int, Meta(ge=0)] = 100
    upstream_concurrency: Count | None = None
    upstream_retries: Annotated[int, Meta(ge=0)] = 1
    max_body_bytes: Count = 4_194_304
    session_policy: Literal["interrupt", "rollback", "enqueue", "reject"] = "interrupt"
    resume_grace_s: Seconds = 30
    database: str = "sqlite:///var/jarvis.db"
    history_tokens: Count = 4000
    log_format: Literal["logfmt", "json"] = "logfmt"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_file: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()


WITHOUT_EFFECT_YET = ("cors_origins",)
"""Settings whose feature comes in a later version; setting one is told in the log."""

FIELDS = {f.name: f for f in msgspec.structs.fields(Settings)}


def load_settings(environ: Mapping[str, str], toml_path: Path = Path("jarvis.toml")) -> Settings:
    """Read the settings of this process.

    Errors: ConfigError, saying which name or value is unusable, where it was found, and what
    would do.
    """
    found = _from_toml(toml_path) if toml_path.is_file() else {}
    for name, text in environ.items():
        if name.startswith(PREFIX):
            field = _field_for(name, style=lambda field: PREFIX + field.upper())
            found[field] = _Found(name, "", text)
    # One field at a time, so that an error can name its setting.
    return Settings(**{field: _convert(field, setting) for field, setting in found.items()})


class _Found(NamedTuple):
    """A value as it was written, and where: ``place`` is empty for the environment."""

    name: str
    place: str
    value: Any


def _from_toml(path: Path) -> dict[str, _Found]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    place = f" in {path}"
    return {
        _field_for(name, style=str, place=place): _Found(name, place, value)
        for name, value in found.items()
    }


def _field_for(name: str, style: Callable[[str], str], place: str = "") -> str:
    real = {style(field): field for field in FIELDS}
    if name in real:
        return real[name]
    in_capitals = {spelt.upper(): spelt for spelt in real}  # case is the least of a misspelling
    nearest = in_capitals[difflib.get_close_matches(name.upper(), in_capitals, n=1, cutoff=0)[0]]
    raise ConfigError(f"{name}{place} is not a setting; did you mean {nearest}?")


def _convert(field: str, found: _Found) -> Any:
    kind = FIELDS[field].type
    value = found.value
    if isinstance(value, str):
        value = value.strip()
        if "tuple" in str(kind):
            items = [item for item in re.split(r"[,\s]+", value) if item]
            if value and not items:
                raise ConfigError(f"{found.name}{found.place} lists nothing")
            value = items
        elif value == "" and FIELDS[field].default is None:
            value = None
        elif "Literal" in str(kind):
            value = value.lower()
    shown = "…" if field.endswith(("key", "keys")) else repr(value)
    setting = f"{found.name}={shown}{found.place}"
    try:
        converted = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        choices = getattr(kind, "__args__", ()) if "Literal" in str(kind) else ()
        reason = f"choose one of {', '.join(choices)}" if choices else _in_words(str(error))
        raise ConfigError(f"{setting} cannot be used: {reason}") from error
    if converted != converted:  # noqa: PLR0124 - not a number passes every bound
        raise ConfigError(f"{setting} cannot be used: it is not a number")
    return converted


def _in_words(reason: str) -> str:
    """Return msgspec's reason without Python's names for things."""
    for name, words in (("`int`", "a whole number"), ("`float`", "a number"), ("`str`", "text")):
        reason = reason.replace(name, words)
    return reason[0].lower() + reason[1:]
