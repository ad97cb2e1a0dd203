"""What a node must not touch, by qualified name, and what to use instead: the table of all levels of the guard."""

from __future__ import annotations

CLOCK = "ctx.now()"
CHANCE = "ctx.random"
NUMBER = "ctx.next_id()"
WORLD = "ctx.perform(ToolCall(...))"
MODEL = "ctx.perform(ModelCall(...))"
CONFIG = "a value from the graph, the state or an input"
TOGETHER = "ctx.perform_all([...])"
SORTED = "sorted(...)"
ZONE = "datetime.fromtimestamp(seconds, tz=timezone.utc)"
FIXED = "a fixed format such as format(x, '.2f')"
KEY = "a value of your own as key, or a digest"

TABLE: tuple[tuple[str, str, str], ...] = (
    (CLOCK, "time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time"),
    (CLOCK, "time", "thread_time_ns clock_gettime clock_gettime_ns sleep gmtime asctime strftime"),
    (CLOCK, "datetime.datetime datetime.date", "now utcnow today"),
    (ZONE, "time", "localtime ctime mktime tzname timezone altzone daylight"),
    (ZONE, "datetime.datetime datetime.date", "fromtimestamp"),
    (CHANCE, "random secrets", "* Random SystemRandom"),
    (CHANCE, "os", "urandom getrandom"),
    (NUMBER, "uuid", "uuid1 uuid4 uuid6 uuid7 uuid8 getnode"),
    (CONFIG, "os", "environ environb getenv getenvb putenv unsetenv getcwd getcwdb getpid getppid getlogin uname cpu_count"),
    (CONFIG, "os.path pathlib.Path", "abspath relpath expanduser expandvars cwd home absolute"),
    (CONFIG, "sys", "argv stdin getrefcount"),
    (CONFIG, "platform getpass", "*"),
    (CONFIG, "socket", "gethostname getfqdn"),
    (MODEL, "socket", "* socket"),
    (
        MODEL,
        "http.client urllib.request asyncio",
        "HTTPConnection HTTPSConnection urlopen urlretrieve open_connection start_server",
    ),
    (
        MODEL,
        "httpx httpx2 requests aiohttp",
        "get post put patch delete request stream Client AsyncClient Session session ClientSession",
    ),
    (WORLD, "os", "*"),
    (WORLD, "os.path", "exists lexists isfile isdir islink ismount getsize getmtime getctime getatime realpath samefile"),
    (WORLD, "pathlib.Path", "exists is_file is_dir is_symlink stat lstat owner group resolve samefile iterdir glob rglob open"),
    (WORLD, "pathlib.Path", "read_text read_bytes write_text write_bytes touch mkdir rmdir unlink rename replace chmod"),
    (WORLD, "subprocess multiprocessing", "* Popen Process Pool"),
    (WORLD, "shutil glob tempfile", "* TemporaryDirectory SpooledTemporaryFile"),
    (WORLD, "sqlite3 io asyncio", "connect open open_code FileIO create_subprocess_exec create_subprocess_shell"),
    (WORLD, "", "open input"),
    (
        TOGETHER,
        "threading _thread",
        "Thread Timer start_new_thread get_ident get_native_id current_thread active_count enumerate",
    ),
    (
        TOGETHER,
        "concurrent.futures asyncio",
        "wait as_completed ThreadPoolExecutor ProcessPoolExecutor to_thread run new_event_loop",
    ),
    (KEY, "gc", "*"),
    (KEY, "weakref", "finalize"),
    (KEY, "", "id hash"),
    (FIXED, "locale", "*"),
)
"""What to use instead, whose members, which. ``*`` means the functions of a module, except `PURE` and constants."""
PURE = frozenset(
    "os.path os.name os.sep os.altsep os.extsep os.curdir os.pardir os.pathsep os.linesep os.defpath os.devnull "
    "os.PathLike os.fspath os.fsencode os.fsdecode os.strerror socket.htons socket.htonl socket.ntohs socket.ntohl "
    "socket.inet_aton socket.inet_ntoa socket.inet_pton socket.inet_ntop subprocess.list2cmdline "
    "subprocess.CompletedProcess secrets.compare_digest glob.escape".split()
)
"""Members of refused modules that touch nothing."""
OWN_CODE_ONLY = frozenset("id hash sys.getrefcount _thread.get_ident threading.get_ident threading.current_thread".split())
"""Calls that only a node's own code is refused: libraries make them for themselves."""
CORE = "builtins time datetime random uuid os os.path secrets socket threading _thread locale platform gc sys tempfile".split()
"""Modules whose functions the profiler knows."""
EVENT_NAMES = {"builtins.input": "input", "socket.__new__": "socket.socket"}
"""Audit events that are called otherwise where people read them."""
EVENTS = frozenset(
    "open socket subprocess os shutil tempfile sqlite3 glob pathlib _thread time http urllib ftplib smtplib imaplib poplib "
    "nntplib telnetlib pty webbrowser winreg msvcrt syslog signal fcntl mmap builtins.input ctypes.dlopen".split()
)
"""Audit events that are refused, by name or by the word before the first dot."""
