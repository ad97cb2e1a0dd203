"""T2: attempts to break out of the Python tool. None succeeds, and each of them does succeed where nothing holds it."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import frozen

from frameengine.errors import NoSandbox
from frameengine.tools.process import Processes
from frameengine.tools.sandbox import seccomp
from frameengine.tools.sandbox.box import Limits, python
from frameengine.tools.sandbox.probe import Sandbox, probe
from processes import marked

ROOT = Path(__file__).parents[2]
SECRET = "a canary that nobody else sings"
SURVIVOR = "frameengine-test-survivor"
WIDE = Limits(memory_bytes=4 << 30, file_bytes=1 << 30, folder_bytes=1 << 30)

PRELUDE = r"""
import ctypes, os, resource, signal, socket, stat, subprocess, sys, threading, time
C = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"x86_64": (56, 250, 310), "aarch64": (220, 219, 270)}[os.uname().machine]
NUMBERS = dict(zip(("clone", "keyctl", "read_memory"), NUMBERS))
ABOVE = os.getppid()

def got_out(yes=True):
    if yes:
        os.write(1, f"out: {NAME}\n".encode())

def attempt(name, code):
    global NAME
    NAME = name
    pid = os.fork()
    if pid == 0:
        try:
            exec(code, globals())
        except BaseException as error:
            os.write(1, f"held: {name}: {type(error).__name__}: {error}\n".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.write(1, f"tried: {name}\n".encode())

def syscall(number, *arguments):
    result = C.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), "syscall")
    return result

def through(family, kind, address):
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(address)
        one.send(b"hello")
    got_out()
"""


@frozen
class Attempt:
    """One way out."""

    code: str
    """Calls ``got_out`` when it has."""
    power: Literal["always", "root", "perhaps"] = "always"
    """Where it must succeed without a sandbox: only the machine's owner may do some, and not every kernel has some."""
    limits: Limits | None = None
    """Limits in the sandbox, where it is about them: such an attempt is alone. Outside they are wide."""


SMALL_MEMORY = Limits(memory_bytes=160 << 20)
ATTEMPTS: Mapping[str, Attempt] = {
    # other processes
    "read the parent's environment": Attempt("got_out(open(f'/proc/{PARENT}/environ', 'rb').read(1))", "root"),
    "list all processes": Attempt("got_out(len([name for name in os.listdir('/proc') if name.isdigit()]) > 2)"),
    "open the parent's memory": Attempt("open(f'/proc/{PARENT}/mem', 'rb').close(); got_out()", "root"),
    "open the memory of the process above": Attempt("open(f'/proc/{ABOVE}/mem', 'rb').close(); got_out()", "root"),
    "read another process's memory by a system call": Attempt(
        "here = (ctypes.c_char * 8)()\n"
        "class Piece(ctypes.Structure):\n    _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]\n"
        "own = Piece(ctypes.addressof(here), 8)\n"
        "syscall(NUMBERS['read_memory'], os.getpid(), ctypes.byref(own), 1, ctypes.byref(own), 1, 0); got_out()"
    ),
    "trace the process above": Attempt("got_out(C.ptrace(0x4206, ABOVE, ctypes.c_void_p(), ctypes.c_void_p()) == 0)", "root"),
    "signal the parent": Attempt("os.kill(PARENT, 0); got_out()"),
    # files of the machine
    "read a file": Attempt("got_out(SECRET in open(CANARY).read())"),
    "read a file by a relative path": Attempt("os.chdir('../' * 20); got_out(SECRET in open(CANARY[1:]).read())"),
    "write to a file": Attempt("open(CANARY, 'a').write('!'); got_out()"),
    "make a file beside it": Attempt("open(CANARY + '.new', 'w').close(); got_out()"),
    "list the home": Attempt("os.listdir(HOME_OF_TESTS); got_out()"),
    "list the temporary files of others": Attempt("got_out(any('frameengine' in name for name in os.listdir(TEMPORARY)))"),
    "read the list of users": Attempt("got_out('root' in open('/etc/passwd').read())"),
    "read the project": Attempt("got_out('class' in open(PROJECT).read())"),
    "read by a link": Attempt("os.symlink(CANARY, 'link'); got_out(SECRET in open('link').read())"),
    "read by a hard link": Attempt("os.link(CANARY, 'link'); got_out(SECRET in open('link').read())", "perhaps"),
    "change the code that is run": Attempt("open(__file__, 'a').close(); got_out()"),
    "change the installation": Attempt("import sysconfig; got_out(os.access(sysconfig.get_path('purelib'), os.W_OK))", "root"),
    "change the interpreter": Attempt("got_out(os.access(sys.executable, os.W_OK))", "root"),
    "set what the kernel runs": Attempt("open('/proc/sys/kernel/core_pattern', 'r+').close(); got_out()", "root"),
    "open the machine's memory": Attempt("open('/dev/mem', 'rb').close(); got_out()", "perhaps"),
    "make a device": Attempt("os.mknod('device', stat.S_IFCHR | 0o600, os.makedev(1, 5)); got_out()", "root"),
    # the network
    "connect to the machine": Attempt("through(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', PORT))"),
    "send a datagram": Attempt("through(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', 53535))"),
    "connect to an abstract socket": Attempt("through(socket.AF_UNIX, socket.SOCK_STREAM, ABSTRACT)"),
    "connect to a socket in a folder": Attempt("through(socket.AF_UNIX, socket.SOCK_STREAM, SOCKET)"),
    "open a raw socket": Attempt("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(); got_out()", "root"),
    "open a packet socket": Attempt("socket.socket(17, socket.SOCK_RAW, 0).close(); got_out()", "root"),
    "talk to the kernel's network": Attempt("socket.socket(16, socket.SOCK_RAW, 0).close(); got_out()"),
    "talk to the host of a virtual machine": Attempt("socket.socket(40, socket.SOCK_STREAM, 0).close(); got_out()", "perhaps"),
    # rights and namespaces
    "become the machine's owner": Attempt("os.setuid(0); got_out()", "root"),
    "raise a limit": Attempt("resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)); got_out()", "perhaps"),
    "go before others": Attempt("os.nice(-1); got_out()", "root"),
    "change the root": Attempt("os.chroot('.'); got_out()", "root"),
    "mount": Attempt("got_out(C.mount(b'x', b'.', b'tmpfs', 0, None) == 0 and C.umount2(os.getcwd().encode(), 2) == 0)", "root"),
    "make a namespace of users": Attempt("got_out(C.unshare(0x10000000) == 0)"),
    "be born in a namespace of users": Attempt(
        "pid = syscall(NUMBERS['clone'], 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)\nif pid == 0: os._exit(0)\ngot_out()"
    ),
    "reach the keys of the kernel": Attempt("syscall(NUMBERS['keyctl'], 0, -3, 1); got_out()"),
    "open a ring of the kernel": Attempt("syscall(425, 1, ctypes.create_string_buffer(120)); got_out()", "perhaps"),
    # limits
    "processes without end": Attempt(
        "for n in range(40):\n    if os.fork() == 0:\n        time.sleep(5)\n        os._exit(0)\ngot_out()",
        limits=Limits(),
    ),
    "threads without end": Attempt(
        "for n in range(40):\n    threading.Thread(target=time.sleep, args=(1,), daemon=True).start()\ngot_out()",
        limits=Limits(),
    ),
    "memory without end": Attempt("x = bytearray(600 << 20); got_out()", limits=Limits()),
    "memory of many processes": Attempt(
        "for n in range(4):\n    if os.fork() == 0:\n"
        "        x = bytearray(b'x') * (60 << 20)\n        time.sleep(5)\n        os._exit(0)\n"
        "time.sleep(1); got_out()",
        limits=SMALL_MEMORY,
    ),
    "memory that no process holds": Attempt("os.memfd_create('x'); got_out()"),
    "memory of the machine": Attempt("shared = C.shmget(0, 4096, 0o600)\nif shared >= 0: C.shmctl(shared, 0, None); got_out()"),
    "a file without end": Attempt("open('x', 'wb').write(b'x' * (17 << 20)); got_out()", limits=Limits()),
    "files without end": Attempt("for n in range(200): open(str(n), 'w').close()\ngot_out()", limits=Limits(folder_files=100)),
    "a folder without end": Attempt(
        "for n in range(8): open(str(n), 'wb').write(b'x' * (1 << 20))\ngot_out()", limits=Limits(folder_bytes=4 << 20)
    ),
}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """Return what this machine offers."""
    return probe()


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, Any]]:
    """Set up what the attempts are after, and return where it is."""
    with (
        tempfile.TemporaryDirectory(prefix="frameengine-canary-") as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        canary = Path(folder, "canary")
        canary.write_text(SECRET, encoding="utf-8")
        places = {"ABSTRACT": f"\0frameengine-{os.getpid()}", "SOCKET": str(Path(folder, "socket"))}
        for server, place in ((named, "SOCKET"), (abstract, "ABSTRACT")):
            server.bind(places[place])
            server.listen(64)
        yield {
            **places,
            "SECRET": SECRET,
            "CANARY": str(canary),
            "PARENT": os.getpid(),
            "HOME_OF_TESTS": str(Path.home()),
            "TEMPORARY": tempfile.gettempdir(),
            "PROJECT": str(ROOT / "frameengine" / "errors.py"),
            "PORT": listener.getsockname()[1],
        }


def run(names: Iterable[str], world: Mapping[str, Any], processes: Processes) -> str:
    """Run attempts, each in a child of one process, and return what they say."""
    known = [f"{name} = {value!r}" for name, value in world.items()]
    made = [f"attempt({name!r}, {ATTEMPTS[name].code!r})" for name in names]
    result = processes.execute("\n".join([PRELUDE, *known, *made]))
    return str(result["stdout"]) + str(result["stderr"])


@pytest.fixture(scope="module")
def together(world: dict[str, Any], sandbox: Sandbox) -> tuple[str, str]:
    """Run all attempts that need no process for themselves: return what they say in the sandbox, and outside."""
    names = [name for name, attempt in ATTEMPTS.items() if attempt.limits is None]
    return "" if sandbox.missing else run(names, world, Processes()), run(names, world, Processes(WIDE, unsafe_local=True))


@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_attempt_gets_out(name: str, together: tuple[str, str], world: dict[str, Any], sandbox: Sandbox) -> None:
    """W16: in the sandbox the attempt fails; outside it succeeds, so it is real. Without a sandbox it is not even begun."""
    attempt = ATTEMPTS[name]
    held, free = together
    if sandbox.missing:
        with pytest.raises(NoSandbox, match="cannot be run safely"):
            run([name], world, Processes(attempt.limits))
    elif attempt.limits is not None:
        held = run([name], world, Processes(attempt.limits))
    assert f"out: {name}\n" not in held
    assert f"tried: {name}\n" in held or sandbox.missing or attempt.limits is not None
    # It was a wall that held it, and not a mistake in the attempt.
    why = held.partition(f"held: {name}: ")[2].partition(":")[0]
    assert why not in ("NameError", "SyntaxError", "AttributeError", "TypeError", "KeyError"), held
    if attempt.limits is not None:
        free = run([name], world, Processes(WIDE, unsafe_local=True))
    if attempt.power == "always" or (attempt.power == "root" and os.geteuid() == 0):
        assert f"out: {name}\n" in free, free


SURVIVORS = {
    "a child": "{start}",
    "a child in a session of its own": "if os.fork() == 0:\n    os.setsid()\n    {start}\n    os._exit(0)\nos.wait()",
    "a grandchild without a parent": "if os.fork() == 0:\n    if os.fork() == 0:\n        {start}\n    os._exit(0)\nos.wait()",
    "a child that ignores signals": (
        "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\nsignal.pthread_sigmask(0, range(1, 65))\n{start}"
    ),
}
"""Ways to start something that would stay."""
START = f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', '{SURVIVOR}'], start_new_session=True)"


@pytest.mark.parametrize("name", SURVIVORS)
@pytest.mark.parametrize("unsafe", [False, True])
def test_nothing_outlives_the_code(name: str, unsafe: bool, sandbox: Sandbox) -> None:
    """What the code starts has ended when the result is there, in the sandbox and outside; an ordinary subprocess leaves it."""
    # A mark of its own: what another case leaves on purpose, and another worker, is not looked at here.
    mark = f"{SURVIVOR}-{os.getpid()}-{list(SURVIVORS).index(name)}-{unsafe}"
    code = PRELUDE + SURVIVORS[name].format(start=START.replace(SURVIVOR, mark)) + "\nprint('started')"
    if not unsafe and sandbox.missing:
        with pytest.raises(NoSandbox):
            Processes().execute(code)
    else:
        result = Processes(unsafe_local=unsafe).execute(code)
        assert "Error" not in result["stderr"]
    assert marked(mark) == []
    if not unsafe:
        subprocess.run([python(), "-c", code + "\nos._exit(0)"], check=False, stdout=subprocess.DEVNULL)
        left: list[int] = []
        while not left:  # one that has lost its parent may take a moment
            left = marked(mark)
        for pid in left:
            os.kill(pid, 9)


def test_keys_and_open_files_of_the_caller_stay_with_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable and no open file of the caller reaches the code, in the sandbox and outside; a plain child has both (W16)."""
    monkeypatch.setenv("SECRET_API_KEY", SECRET)
    canary = tmp_path / "canary"
    canary.write_text(SECRET, encoding="utf-8")
    code = (
        "import os\nprint(os.environ)\nfor number in range(3, 64):\n"
        "    try:\n        print(number, os.pread(number, 100, 0))\n    except OSError:\n        pass\n"
        "    try:\n        os.fstat(number); print('open', number)\n    except OSError:\n        pass"
    )
    with canary.open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        for unsafe in (False, True):
            if not unsafe and sandbox.missing:
                continue
            result = Processes(unsafe_local=unsafe).execute(code)
            assert result["status"] == "done"
            assert SECRET not in result["stdout"]
            assert "open" not in result["stdout"]
        plain = subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True, check=False)
        assert plain.stdout.count(SECRET) == 2


def test_nothing_waits_for_the_next_process(sandbox: Sandbox) -> None:
    """What a process writes wherever it can is not there for the next one (N15)."""
    write = "import os\nfor place in ('/work', '/tmp', '.'):\n    open(os.path.join(place, 'json.py'), 'w').write('print(666)')"
    read = "import os, json\nprint(os.listdir('.'), os.listdir('/tmp') if os.getcwd() == '/work' else [])"
    for unsafe in (False, True):
        if not unsafe and sandbox.missing:
            continue
        processes = Processes(unsafe_local=unsafe)
        if unsafe:
            write = "open('json.py', 'w').write('print(666)')"
        assert processes.execute(write)["exit_code"] == 0
        assert processes.execute(read)["stdout"] == "[] []\n"


MASKED = """
import ctypes, errno, struct, sys
from frameengine.tools.sandbox import kernel
from frameengine.tools.process import Processes
from frameengine.errors import NoSandbox

refused = {refused}
steps = [(0x20, 0, 0, 0)]
for number in refused:
    steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.ENOSYS)]
steps.append((0x06, 0, 0, 0x7FFF0000))
held = b"".join(struct.pack("HBBI", *step) for step in steps)
body = ctypes.create_string_buffer(held, len(held))
head = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(body))
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
kernel.call("prctl", kernel.PR_SET_SECCOMP, 2, ctypes.create_string_buffer(head, len(head)), 0, 0)

processes = Processes(unsafe_local={unsafe})
print(processes.stamp()["python_tool"])
try:
    print(processes.execute("print(6 * 7)")["stdout"].strip())
except NoSandbox as error:
    print(error, "--", error.hint, "--", processes.status()[0]["status"])
"""
UNSHARE = {"x86_64": 272, "aarch64": 97}.get(platform.machine())
MOUNT_SETATTR, LANDLOCK = 442, 444


def masked(*refused: Any, unsafe: bool = False) -> str:
    """Return what the tool says on a machine whose kernel lacks some system calls."""
    done = subprocess.run(
        [sys.executable, "-c", MASKED.format(refused=refused, unsafe=unsafe)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("call", "named"), [(UNSHARE, "unshare"), (MOUNT_SETATTR, "syscall")])
def test_without_a_wall_that_is_needed_nothing_is_run(call: int, named: str, sandbox: Sandbox) -> None:
    """T1: on a machine without namespaces the tool refuses, says what is missing and the way out, and stamps the refusal."""
    said = masked(call)
    assert said.startswith("refused\nPython code cannot be run safely on this machine: the sandbox cannot be made: ")
    assert named in said or sandbox.missing
    assert "unsafe_local -- failed" in said
    assert "42" not in said


def test_a_wall_that_is_not_needed_is_missed_in_the_stamp(sandbox: Sandbox) -> None:
    """A machine without Landlock runs code between the other walls, and the stamp says which they are."""
    said = masked(LANDLOCK)
    expected = [wall for wall in sandbox.walls if wall != "landlock"]
    assert said == "+".join(expected) + "\n42\n" or sandbox.missing
    assert masked(LANDLOCK, UNSHARE, unsafe=True) == "unsafe-local\n42\n"


def test_the_probe_s_attempts_are_real() -> None:
    """Without walls the probe finds every hole that it looks for."""
    assert probe(isolate=False).missing.count(";") == 2


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_knows_each_call_on_each_machine(machine: str) -> None:
    """Each refused call has a number on each machine, and the filter is whole instructions."""
    _, _, numbers = seccomp._MACHINES[machine]
    assert len(set(numbers)) == len(numbers) == len(seccomp._NAMES)
    instructions = seccomp.program(machine)
    assert instructions is not None
    assert len(instructions) % 8 == 0
    assert seccomp.program("pdp11") is None
