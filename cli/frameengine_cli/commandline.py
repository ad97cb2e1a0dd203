"""The ``frameengine`` command: its sub-commands, and what happens when one of them fails."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
import typer.core

from frameengine.errors import FrameEngineError, UsageError
from frameengine_cli.commands import (
    bisect,
    chat,
    debug,
    diff,
    doctor,
    exporting,
    graph,
    importing,
    proxy,
    record,
    repair,
    replay,
    rerun,
    run,
    schema,
    show,
    snapshot,
    suites,
    testcase,
    verify,
    version,
)
from frameengine_cli.failures import (
    EXIT_CANNOT_TEST,
    EXIT_DEFECT,
    EXIT_INTERRUPTED,
    EXIT_READER_GONE,
    Interrupted,
    close_quietly,
    debugging,
    defect,
    refused,
    report,
    stdout_is_broken,
    traceback_of,
)
from frameengine_cli.output import STDOUT

_ClickException: type[Any] = typer.BadParameter.__mro__[2]
"""The parser's own errors. Where they are defined changes between versions of typer, what BadParameter is made of does not."""


class ReaderGone(Exception):
    """Whoever read stdout has seen enough."""


class Group(typer.core.TyperGroup):
    """Turns what the parser would swallow into exceptions of ours: Ctrl-C, and a pipe that nobody reads any more."""

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGone from None
        except KeyboardInterrupt:
            raise Interrupted("interrupted", hint="run the command again") from None
        return result


app = typer.Typer(
    cls=Group,
    name="frameengine",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Record, replay and look into runs of LLM agents, frame by frame.",
    epilog="Try: frameengine run --graph tool-loop -m 'hello'; frameengine show latest",
)


def _version(wanted: bool) -> None:
    if wanted:
        version.version()
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error (as FRAMEENGINE_DEBUG=1 does).")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Record, replay and look into runs of LLM agents, frame by frame."""


app.command("run")(run.run)
app.command("chat")(chat.chat)
app.command("record")(record.record)
app.command("replay")(replay.replay)
app.command("rerun")(rerun.rerun)
app.command("bisect")(bisect.bisect)
app.command("diff")(diff.diff)
app.command("verify")(verify.verify)
# An unknown option may be `-@2`, a place in a trace on stdin; the command looks at it.
app.command("show", context_settings={"ignore_unknown_options": True})(show.show)
app.add_typer(importing.app, name="import")
app.add_typer(exporting.app, name="export")
app.add_typer(graph.app, name="graph")
app.command("test")(suites.run_suites)
# As for `show`: `-@2.3` is a frame of a trace on stdin.
app.command("testcase", context_settings={"ignore_unknown_options": True})(testcase.make)
# As for `show`: `-@2.3` is a frame of a trace on stdin.
app.command("debug", context_settings={"ignore_unknown_options": True})(debug.debug)
app.add_typer(proxy.app, name="proxy")
app.command("repair")(repair.repair)
app.add_typer(snapshot.app, name="snapshot")
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)
app.command("version")(version.version)


def execute(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Everything that goes wrong is told here, and only here."""
    as_json, debug = "--json" in arguments, debugging(arguments)
    # It is an option of the whole command line, and people add it where they are: at the end.
    arguments = [argument for argument in arguments if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal of another encoding gets what it cannot show as numbers.
            stream.reconfigure(errors="backslashreplace")
    code = 0
    try:
        code = _execute(arguments, as_json=as_json, debug=debug)
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        close_quietly()
        # Whoever stopped reading has not seen that all is well, and a failure that is known stays one.
        code = code or EXIT_READER_GONE
    except OSError as error:
        # Nothing more can be said there; the rest of it is dropped, so that the interpreter does not complain at its end.
        close_quietly()
        code = report(refused(error, STDOUT), as_json=False)
    if "--bisect" in arguments:
        return _for_bisect(code)
    return code


def _execute(arguments: list[str], *, as_json: bool, debug: bool) -> int:
    try:
        code = app(arguments, prog_name="frameengine", standalone_mode=False)
    except FrameEngineError as error:
        if debug:
            traceback_of(error)
        return report(error, as_json=as_json)
    except _ClickException as error:
        return _usage(error, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return report(Interrupted("interrupted"), as_json=as_json)
    except (BrokenPipeError, ReaderGone):
        raise
    except OSError as error:
        if error.filename == STDOUT or stdout_is_broken():
            raise
        if debug:
            traceback_of(error)
        return report(refused(error), as_json=as_json)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            # The parser's own way to end where nobody reads its help.
            raise ReaderGone from None
        return _unforeseen(error, as_json=as_json, debug=debug)
    except BaseException as error:  # noqa: BLE001 - the last resort: one readable line and a way to report it
        return _unforeseen(error, as_json=as_json, debug=debug)
    return code if isinstance(code, int) else 0


def _unforeseen(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Tell a defect. SystemExit is one: code that leaves the process must not leave it with a code that says all is well."""
    if debug:
        traceback_of(error)
    report(defect(error), as_json=as_json)
    return EXIT_DEFECT


def _usage(error: Any, *, as_json: bool) -> int:
    """Tell what is wrong with the command line itself."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(error.format_message() + "\n")
        return 2
    command = context.command_path if context is not None else "frameengine"
    return report(UsageError(error.format_message(), hint=f"{command} --help"), as_json=as_json)


def _for_bisect(code: int) -> int:
    """Return what ``git bisect run`` understands: 0 good, 1 bad, 125 cannot test, and above 127 stop.

    Bad is a divergence and nothing else: a full disk, a limit or runs that differ say nothing of the revision.
    """
    return {0: 0, 4: 1, EXIT_INTERRUPTED: EXIT_INTERRUPTED}.get(code, EXIT_CANNOT_TEST)
