"""Settings: the environment over jarvis.toml over the defaults, and errors that help."""

import math
from pathlib import Path

import pytest

from jarvis_trio.config import FIELDS, PREFIX, Settings, load_settings
from jarvis_trio.errors import ConfigError

NOWHERE = Path("/nowhere/jarvis.toml")

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 8000,
    "unix_socket": None,
    "certfile": None,
    "keyfile": None,
    "reuse_port": False,
    "http3": False,
    "upstream": "auto",
    "upstream_key": None,
    "api_keys": (),
    "admin_keys": (),
    "flush_window_ms": 75,
    "flush_bytes": 1024,
    "cleanup_timeout_s": 2,
    "connect_timeout_s": 5,
    "first_token_timeout_s": 120,
    "idle_timeout_s": 60,
    "receive_timeout_s": 30,
    "write_stall_timeout_s": 20,
    "graceful_timeout_s": 10,
    "keepalive_s": 10,
    "max_streams": 1000,
    "max_queue": 100,
    "upstream_concurrency": None,
    "upstream_retries": 1,
    "max_body_bytes": 4194304,
    "session_policy": "interrupt",
    "resume_grace_s": 30,
    "database": "sqlite:///var/jarvis.db",
    "history_tokens": 4000,
    "log_format": "logfmt",
    "log_level": "info",
    "log_file": None,
    "allowed_hosts": (),
    "cors_origins": (),
}
"""Design §9."""


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "jarvis.toml"
    path.write_text(text, "utf-8")
    return path


def fault(environ: dict[str, str], path: Path = NOWHERE) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, path)
    return caught.value.message


def test_without_any_setting_every_default_is_the_documented_one() -> None:
    settings = load_settings({}, NOWHERE)
    assert {name: getattr(settings, name) for name in FIELDS} == DEFAULTS


def test_the_environment_beats_the_file_and_the_file_beats_the_defaults(tmp_path: Path) -> None:
    path = toml(tmp_path, "flush_bytes = 10\nmax_queue = 20\n")
    settings = load_settings({"JARVIS_FLUSH_BYTES": "30"}, path)
    assert (settings.flush_bytes, settings.max_queue, settings.keepalive_s) == (30, 20, 10)


def test_the_environment_beats_even_a_value_of_the_file_that_is_unusable(tmp_path: Path) -> None:
    path = toml(tmp_path, "flush_bytes = 'many'")
    assert load_settings({"JARVIS_FLUSH_BYTES": "30"}, path).flush_bytes == 30


def test_variables_of_others_are_none_of_our_business() -> None:
    environ = {"PATH": "/bin", "OLLAMA_HOST": "x", "MY_JARVIS_FLUSH_BYTES": "x", "JARVIS": "x"}
    assert load_settings(environ, NOWHERE) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flush_bytes", "2048", 2048),
        ("flush_bytes", " 2048\n", 2048),
        ("flush_window_ms", "0", 0.0),
        ("flush_window_ms", "12.5", 12.5),
        ("idle_timeout_s", "1e3", 1000.0),
        ("max_queue", "0", 0),
        ("upstream_concurrency", "4", 4),
        ("upstream_concurrency", "", None),
        ("upstream", " ollama:http://127.0.0.1:11434 ", "ollama:http://127.0.0.1:11434"),
        ("upstream_key", "", None),
        ("upstream_key", "  ", None),
        ("log_file", "", None),
        ("log_file", "logs/system.log", "logs/system.log"),
        ("log_level", "DEBUG", "debug"),
        ("session_policy", "Enqueue", "enqueue"),
        ("api_keys", "", ()),
        ("api_keys", "one", ("one",)),
        ("api_keys", "one,two", ("one", "two")),
        ("api_keys", " one ,\ttwo  three\n,four,", ("one", "two", "three", "four")),
        ("allowed_hosts", "a.example b.example", ("a.example", "b.example")),
    ],
)
def test_a_variable_is_read_as_what_its_setting_is(name: str, text: str, value: object) -> None:
    read = getattr(load_settings({PREFIX + name.upper(): text}, NOWHERE), name)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("flush_bytes = 2048", "flush_bytes", 2048),
        ("flush_bytes = '2048'", "flush_bytes", 2048),
        ("flush_window_ms = 12.5", "flush_window_ms", 12.5),
        ("keepalive_s = 3", "keepalive_s", 3.0),
        ("upstream_key = 'k'", "upstream_key", "k"),
        ("api_keys = ['one', 'two']", "api_keys", ("one", "two")),
        ("api_keys = 'one, two'", "api_keys", ("one", "two")),
        ("log_format = 'JSON'", "log_format", "json"),
        ("log_file = ''", "log_file", None),
    ],
)
def test_a_line_of_the_file_is_read_as_what_its_setting_is(
    tmp_path: Path, line: str, name: str, value: object
) -> None:
    assert getattr(load_settings({}, toml(tmp_path, line)), name) == value


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("JARVIS_FLUSH_BYTE", "JARVIS_FLUSH_BYTES"),
        ("JARVIS_API_KEY", "JARVIS_API_KEYS"),
        ("JARVIS_LOGLEVEL", "JARVIS_LOG_LEVEL"),
        ("JARVIS_flush_bytes", "JARVIS_FLUSH_BYTES"),
        ("JARVIS_DATABSE", "JARVIS_DATABASE"),
        ("JARVIS_IDLE_TIMEOUT", "JARVIS_IDLE_TIMEOUT_S"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_real_one(name: str, nearest: str) -> None:
    message = fault({name: "not for anybody's eyes"})
    assert message == f"{name} is not a setting; did you mean {nearest}?"
    assert "eyes" not in message


@pytest.mark.parametrize("name", ["JARVIS_", "JARVIS_Ω", "JARVIS_ZZZZZZZZZZZZZ"])
def test_even_a_name_that_is_near_nothing_is_refused_by_name(name: str) -> None:
    assert fault({name: "x"}).startswith(f"{name} is not a setting; did you mean JARVIS_")


def test_a_misspelt_name_in_the_file_is_refused_with_the_nearest_and_the_file(
    tmp_path: Path,
) -> None:
    for name in ("flush_byte", "FLUSH_BYTES", "JARVIS_FLUSH_BYTES"):
        path = toml(tmp_path, f"{name} = 3")
        assert fault({}, path) == f"{name} in {path} is not a setting; did you mean flush_bytes?"


def test_a_table_in_the_file_is_refused_as_the_name_it_is(tmp_path: Path) -> None:
    path = toml(tmp_path, "[jarvis]\nflush_bytes = 3")
    assert fault({}, path).startswith(f"jarvis in {path} is not a setting")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("FLUSH_BYTES", "many", "expected a whole number, got text"),
        ("FLUSH_BYTES", "", "expected a whole number, got text"),
        ("FLUSH_BYTES", "0", "expected a whole number >= 1"),
        ("FLUSH_BYTES", "-1", "expected a whole number >= 1"),
        ("FLUSH_BYTES", "1.5", "expected a whole number, got text"),
        ("MAX_QUEUE", "-1", "expected a whole number >= 0"),
        ("CLEANUP_TIMEOUT_S", "0", "expected a number > 0.0"),
        ("CLEANUP_TIMEOUT_S", "-0.1", "expected a number > 0.0"),
        ("FLUSH_WINDOW_MS", "-1", "expected a number >= 0.0"),
        ("FLUSH_WINDOW_MS", "75ms", "expected a number, got text"),
        ("UPSTREAM_CONCURRENCY", "0", "expected a whole number >= 1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_the_reason(
    name: str, text: str, reason: str
) -> None:
    assert fault({f"JARVIS_{name}": text}) == f"JARVIS_{name}={text!r} cannot be used: {reason}"


@pytest.mark.parametrize("name", [n for n in FIELDS if n.endswith(("_s", "_ms"))])
@pytest.mark.parametrize("text", ["nan", "NaN", "-nan"])
def test_what_is_not_a_number_is_no_duration(tmp_path: Path, name: str, text: str) -> None:
    """NaN would make every deadline a coin toss."""
    assert f"{PREFIX}{name.upper()}=" in fault({PREFIX + name.upper(): text})
    assert math.isnan(float(text))
    assert f"{name}=nan in " in fault({}, toml(tmp_path, f"{name} = {text.lower()}"))


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("LOG_LEVEL", "debug, info, warning, error"),
        ("LOG_FORMAT", "logfmt, json"),
        ("SESSION_POLICY", "interrupt, rollback, enqueue, reject"),
    ],
)
@pytest.mark.parametrize("text", ["loud", ""])
def test_a_wrong_choice_names_all_that_would_do(name: str, choices: str, text: str) -> None:
    message = fault({f"JARVIS_{name}": text})
    assert message == f"JARVIS_{name}={text!r} cannot be used: choose one of {choices}"


def test_a_value_of_the_file_that_cannot_be_used_is_named_with_the_file(tmp_path: Path) -> None:
    path = toml(tmp_path, "flush_bytes = true")
    assert fault({}, path) == (
        f"flush_bytes=True in {path} cannot be used: expected a whole number, got `bool`"
    )


@pytest.mark.parametrize(
    "line",
    [
        "upstream_key = 5550123",
        "api_keys = 5550123",
        "api_keys = [5550123]",
        "admin_keys = [['5550123']]",
        "upstream_key = ['5550123']",
        "upstream_key = 5550123x",
        "api_keys = ['5550123",
    ],
)
def test_no_key_is_ever_echoed(tmp_path: Path, line: str) -> None:
    path = toml(tmp_path, line)
    with pytest.raises(ConfigError) as caught:
        load_settings({}, path)
    error: BaseException | None = caught.value
    while error is not None:
        assert "5550123" not in f"{error} {error!r}"
        error = error.__cause__
    assert "5550123" not in fault({"JARVIS_API_KEYZ": "5550123"})


@pytest.mark.parametrize(
    "content", [b"flush_bytes = ", b"\xff\xfe", b"flush_bytes = 1\nflush_bytes"]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jarvis.toml"
    path.write_bytes(content)
    assert fault({}, path).startswith(f"{path} cannot be read: ")


def test_a_file_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / "jarvis.toml") == Settings()
    assert load_settings({}, tmp_path) == Settings()


def test_settings_cannot_change_while_the_server_runs() -> None:
    with pytest.raises(AttributeError):
        Settings().flush_bytes = 1  # type: ignore[misc]


def test_a_list_of_nothing_is_refused_and_not_read_as_no_list(tmp_path: Path) -> None:
    """``JARVIS_API_KEYS=,`` must not quietly open the server to the default key."""
    with pytest.raises(ConfigError, match="JARVIS_API_KEYS lists nothing"):
        load_settings({"JARVIS_API_KEYS": " , ,"}, tmp_path / "none.toml")
