"""A PostgreSQL of our own, from the machine's packages, for as long as the tests run."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

START_SECONDS = 30
MISSING = (
    "NOT TESTED ON POSTGRESQL: there is no initdb on this machine "
    "(Debian, Ubuntu: apt-get install postgresql)"
)


def find_programs() -> Path | None:
    """Return the directory that holds ``initdb`` and ``postgres``, of the newest version."""
    debians = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3])
    )
    if debians:
        return debians[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgreSQL:
    """A running server; databases are made in it one for each test."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory
        self._made = 0
        self._emptied = ""

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tester:secret@/{database}?host={self.directory}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        self._made += 1
        name = f"jarvis_{self._made}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def emptied_database(self) -> str:
        """Return the URL of a database that has its tables, once a store has opened it."""
        import psycopg

        self._emptied = self._emptied or self.new_database()
        with psycopg.connect(self._emptied) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE tablename = 'sessions'"
            )
            if tables.fetchone():
                connection.execute("TRUNCATE sessions CASCADE")
        return self._emptied

    @contextlib.contextmanager
    def closed_to(self, database: str | None) -> Iterator[None]:
        """End everybody's connections to it, and let nobody make another."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        allow = SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        name = Identifier(database or "")
        end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(allow.format(name, SQL("false")))
            admin.execute(end_all, [database])
            yield
            admin.execute(allow.format(name, SQL("true")))

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let nothing of it run, as on a machine that is frozen."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        pids = [pid, *map(int, children)]  # not its process group: each of them has its own
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in pids:
                os.kill(each, signal.SIGCONT)


@contextlib.contextmanager
def running_postgres(programs: Path) -> Iterator[PostgreSQL]:
    """Run a server that listens on a unix socket only; it refuses root, so root lends its place."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        as_whom = not_as_root(directory)
        data = directory / "data"
        command: list[str | Path] = [programs / "initdb", "-D", data, "-U", "tester"]
        command += ["-A", "trust", "-N"]
        command += ["-E", "UTF8", "--no-locale"]
        subprocess.run([*as_whom, *command], check=True, cwd=directory, capture_output=True)
        command = [programs / "postgres", "-D", data, "-F", "-k", directory, "-h", ""]
        command += ["-c", "max_connections=50", "-c", "shared_buffers=16MB"]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([*as_whom, *command], cwd=directory, stdout=log, stderr=log)
        server = PostgreSQL(process, directory)
        try:
            wait_until_up(server)
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # to postgres: end at once, whoever is connected
            process.wait(START_SECONDS)


def not_as_root(directory: Path) -> Sequence[str]:
    """Return what to put before a command that refuses root, and give its user the directory.

    Whatever ends the tests, even a kill, ends the command too.
    """
    command = ["setpriv", "--pdeathsig=INT"]
    if os.geteuid() == 0:
        somebody = pwd.getpwnam("nobody")
        os.chown(directory, somebody.pw_uid, somebody.pw_gid)
        command += [f"--reuid={somebody.pw_uid}", f"--regid={somebody.pw_gid}", "--clear-groups"]
    return command


def wait_until_up(server: PostgreSQL) -> None:
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(server.url()).close()
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                log = (server.directory / "log").read_text("utf-8")
                raise AssertionError(f"postgres does not come up:\n{log}") from None
            time.sleep(0.05)
        else:
            return
