"""A MariaDB server for one session of tests: from the machine, or from Debian's packages unpacked into build/, never installed.

Its data lies in a folder that is removed at the end, and it listens on a socket in there only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

BUILD = Path(__file__).resolve().parents[2] / "build" / "mariadb"
PACKAGE = "mariadb-server-core"
USER = "nobody"
PATIENCE_SECONDS = 60.0
"""A server that takes this long will not come up."""


class NoServer(Exception):
    """There is no server here, and none can be had; says why."""


@frozen
class Binary:
    """A server that can be started."""

    program: Path
    """mariadbd."""
    share: Path
    """Its messages and the tables it begins with."""
    libraries: Sequence[Path] = ()
    """Folders of shared libraries that the system may not have."""


def find() -> Binary:
    """Return the server of this machine, or one from Debian's packages. Raises `NoServer`."""
    installed = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    share = Path("/usr/share/mysql")
    if installed is not None and (share / "mysql_system_tables.sql").is_file():
        return Binary(Path(installed), share)
    root = BUILD / "root"
    if not (root / "usr" / "sbin" / "mariadbd").is_file():
        unpack(root)
    folders = [path.parent for path in root.rglob("*.so.*")]
    return Binary(root / "usr" / "sbin" / "mariadbd", root / "usr" / "share" / "mysql", sorted(set(folders)))


def unpack(root: Path) -> None:
    """Fetch what Debian's package needs and this machine has not, and unpack it into *root*."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoServer("there is no mariadbd, and no apt-get to fetch it with")
    planned = command("apt-get", "-s", "install", "--no-install-recommends", PACKAGE)
    names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    if PACKAGE not in names:
        raise NoServer(f"apt-get does not know how to install {PACKAGE}")
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        command("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *names, cwd=folder)
        fresh = Path(folder) / "root"
        for package in sorted(Path(folder).glob("*.deb")):
            command("dpkg-deb", "-x", str(package), str(fresh))
        try:
            fresh.rename(root)
        except OSError:
            # Another session was faster, and its folder is as good.
            if not (root / "usr" / "sbin" / "mariadbd").is_file():
                raise


def command(*words: str, cwd: str | None = None) -> str:
    """Run a command; return its output. Raises `NoServer` with the last line of what it said."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NoServer(f"{' '.join(words[:3])} failed: {said[-1] if said else done.returncode}")
    return done.stdout


@frozen(kw_only=True)
class Server:
    """A server that runs."""

    socket: Path
    """Where it listens."""
    process: subprocess.Popen[bytes] = field(repr=False)
    """The process."""
    data: Path
    """Its folder."""

    def root(self, database: str | None = None) -> Any:
        """Return a connection that may do everything."""
        import pymysql

        return pymysql.connect(unix_socket=str(self.socket), user="root", database=database, autocommit=True)

    def run(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements as one who may do everything; return the rows of the last."""
        connection = self.root(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Server]:
    """Start a server with an empty database and let it go at the end. Raises `NoServer`."""
    binary = find()
    # A short path: a socket's may have a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="fe-mariadb-"))
    server = None
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        options = _options(binary, folder)
        _bootstrap(binary, options)
        server = _start(binary, options, folder)
        yield server
    finally:
        if server is not None:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _options(binary: Binary, folder: Path) -> list[str]:
    user = [f"--user={USER}"] if os.geteuid() == 0 else []
    small = ["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
    small.append("--character-set-server=utf8mb4")
    places = [f"--datadir={folder}", f"--socket={folder}/s", f"--pid-file={folder}/pid", f"--tmpdir={folder}"]
    own = [f"--lc-messages-dir={binary.share}", f"--character-sets-dir={binary.share}/charsets", "--plugin-dir=."]
    return [str(binary.program), "--no-defaults", *user, *small, *places, *own]


def _environment(binary: Binary) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([str(path) for path in binary.libraries])}


def _bootstrap(binary: Binary, options: list[str]) -> None:
    tables = (binary.share / "mysql_system_tables.sql").read_text()
    access = '{"access":18446744073709551615}'
    text = (
        f"create database mysql;\nuse mysql;\n{tables}\ninsert into global_priv values ('localhost', 'root', '{access}');\n"
        "create database shop;\n"
    )
    done = subprocess.run(
        [*options, "--bootstrap"], input=text, env=_environment(binary), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoServer(f"mariadbd does not begin: {done.stderr.strip().splitlines()[-1:]}")


def _start(binary: Binary, options: list[str], folder: Path) -> Server:
    import pymysql

    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*options, "--skip-networking"], env=_environment(binary), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    server = Server(socket=folder / "s", process=process, data=folder)
    waited = 0.0
    while process.poll() is None and waited < PATIENCE_SECONDS:
        if server.socket.exists():
            try:
                server.root().close()
            except pymysql.Error:
                pass
            else:
                return server
        time.sleep(0.05)
        waited += 0.05
    process.kill()
    process.wait()
    raise NoServer(f"mariadbd does not come up: {(folder / 'log').read_text(errors='replace').strip().splitlines()[-1:]}")
