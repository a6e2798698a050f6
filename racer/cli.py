"""The command line: one entry point for all commands, and one clear line where something is wrong.

The commands live in `racer.commands`. Heavy imports happen inside them, so that `racer --help` answers at once.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from racer import __version__
from racer.commands.output import print_json
from racer.plain_text import PlainStream, plain

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a command as Ctrl-C does."""

_HELP = ["-h", "--help"]

_COMMANDS = {
    "doctor": "doctor --study demo",
    "demo": "demo --driver simulated",
    "play": "play --condition random --beside",
    "train": "train recordings/pilot01_pilot_*.h5 --out masks/pilot01.safetensors",
    "rates": "rates --coders random,pico,predictive --participants 4 --tracks 2",
    "session": "",
    "study": "",
    "crowd": "",
    "task": "",
    "model": "",
    "agent": "",
    "driver": "",
}
"""Each with an example, or none where it is a group; the modules of `racer.commands` are called like them."""


def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print what Racer runs on, as JSON.")] = False,
) -> None:
    """Handle the options that stand before any command."""
    if as_json and not version:
        raise typer.BadParameter("--json goes with --version here; for a command, put it after the command's name.")
    if as_json:
        from racer.software import everything

        print_json(everything())
        raise typer.Exit
    if version:
        print(f"racer {__version__}")
        raise typer.Exit


def make_app(first: str = "") -> typer.Typer:
    """Return the application: with every command, or, where the first word names one, that one alone.

    The others need not be imported then, nor their options declared.
    """
    app = typer.Typer(
        name="racer",
        help=(
            "Let people do a task seeing only what a few bits per step carry: record them, train PICO masks, evaluate "
            "them."
        ),
        no_args_is_help=True,
        context_settings={"help_option_names": _HELP},
        epilog="Start with `racer demo`; then `racer study init NAME`, or `racer session start NAME`.",
    )
    app.callback(invoke_without_command=True)(root)
    for name in [first] if first in _COMMANDS else _COMMANDS:
        module = import_module(f"racer.commands.{name}")
        if example := _COMMANDS[name]:
            app.command(epilog=f"Example: racer {example}")(getattr(module, name))
        else:
            app.add_typer(module.app, name=name)
    return app


def command_line(first: str = "") -> Any:
    """Return `make_app`'s commands as they are run, their help without what only its library means.

    Switches, which take no value, name no type; what may be repeated or is limited names the type of one value.
    """
    found = typer.main.get_command(make_app(first))
    waiting: list[Any] = [found]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        for parameter in one.get_params(typer.Context(one, help_option_names=_HELP)):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            elif named := getattr(parameter, "display_type", None):
                parameter.display_type = partial(_plain_type, named)
    return found


def _plain_type(named: Callable[[Any], str], context: Any) -> str:
    return re.sub(r"<(?:list\[(.+)\]|(\w+) range)>", lambda found: f"<{found[1] or found[2]}>".lower(), named(context))


def main() -> None:
    """Run the command line: one clear line and exit code 2 for bad input, 130 when interrupted, 70 for a defect.

    Under `--json` the line stands on stdout too, as `{"error": ..., "exit_code": ...}`.
    """
    for number in _ENDING:
        # A polite kill and a terminal that is closed end a session as Ctrl-C does: the recording is closed.
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup and its like have them ignored
            signal.signal(number, signal.default_int_handler)
    sys.stdout, sys.stderr = PlainStream(sys.stdout), PlainStream(sys.stderr)
    code = _run()
    for number in _ENDING:  # everything is closed: another Ctrl-C now would only leave a traceback
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more; Python would complain once more at its end
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or 141
    sys.exit(code)


def _interrupted() -> int:
    return _fail("interrupted; nothing that was recorded is lost", 130)


def _run() -> int:
    from typer import BadParameter

    # What typer raises for bad usage, wherever this version of it keeps the class.
    usage_error: type[Any] = next(base for base in BadParameter.__mro__ if base.__name__ == "ClickException")
    try:
        code = command_line(*sys.argv[1:2])(standalone_mode=False, prog_name="racer")
        # typer turns Ctrl-C into this code by itself, and says nothing
        return _interrupted() if code == 130 else code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # typer makes it a 1
            return 141
        return ending.code if isinstance(ending.code, int) else 1
    except BrokenPipeError:
        return 141
    except typer.Abort as ending:
        return _fail("; ".join(("interrupted", *ending.args)), 130)
    except usage_error as error:
        message = _plainly(error.format_message().replace("\n", " "))
        command = getattr(getattr(error, "ctx", None), "command_path", "racer")
        # Without a message the help has just been printed.
        return _fail(f"{message} See `{command} --help`.", 2) if message else 2
    except Exception as error:
        if _is_for_the_user(error):
            return _fail(str(error), 2)
        return _fail(_report_defect(error), 70)


def _plainly(message: str) -> str:
    """Return what is wrong with an option without the words of the library that found it, as a sentence."""
    message = re.sub(r"Value error, |(?<=: )Input should be(?= a valid| greater| less)", "", message)
    for theirs, ours in _PLAINLY.items():
        message = re.sub(theirs, ours, message)
    return message if not message or message.endswith((".", "?", "!")) else f"{message}."


_PLAINLY = {
    r": +greater than or equal to (\S+)": r": it must be \1 or more",
    r": +less than or equal to (\S+)": r": it must be \1 or less",
    r": +a valid integer.*": ": it must be a whole number",
    r": +a valid number.*": ": it must be a number",
}


def _report_defect(error: Exception) -> str:
    """Put where a defect of Racer's own is into a file, and return the line that everybody else needs.

    The file outlives the command where nobody looks for it, and is sent to others: it holds no argument and no message,
    which may name a person. The line does.
    """
    # Readable by its owner only.
    with tempfile.NamedTemporaryFile("w", prefix="racer-", suffix=".log", delete=False, encoding="utf-8") as log:
        print(f"racer {__version__}", *_without_values(sys.argv[1:]), file=log)
        each: BaseException | None = error
        while each is not None:
            print(*_places(each), type(each).__name__, sep="\n", file=log)
            each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return (
        f"something went wrong inside Racer ({f'{type(error).__name__}: {error}'[:200]}); nothing that was recorded is "
        f"lost; please report it with the details, which name nobody, in {log.name}"
    )


def _places(error: BaseException) -> list[str]:
    """Return where an error passed, as lines without messages and without folders that may be called like a person."""
    passed = [(frame.filename, frame.lineno, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    # What `concurrent.futures` brings from another process: a traceback as text.
    passed += re.findall(r'^ *File "(.*)", line (\d+), in (\S+)$', getattr(error, "tb", "") or "", re.MULTILINE)
    places = []
    for name, line, function in passed:
        path = Path(name)
        above = [Path(entry) for entry in sys.path if entry and path.is_relative_to(entry)]
        nearest = max(above, key=lambda entry: len(entry.parts), default=path.parent)
        places.append(f"  {path.relative_to(nearest).as_posix()}, line {line}, in {function}")
    return places


def _without_values(arguments: list[str]) -> list[str]:
    """Return the commands and the names of options in a command line; everything else is left out."""
    words: list[str] = []
    command: Any = command_line()
    for argument in arguments:
        inner = getattr(command, "commands", {}).get(argument)
        command = inner or command
        option = re.match(r"--[a-z-]+", argument)
        words.append(argument if inner else option[0] if option else "...")
    return words


def _is_for_the_user(error: Exception) -> bool:
    """Return whether an error's message is one line meant for a person."""
    from compression.errors import CompressionError
    from racer.errors import RacerError
    from sessions.errors import RecordingError

    return isinstance(error, RacerError | CompressionError | RecordingError)


def _fail(message: str, code: int) -> int:
    # One line, whatever a file or a library put into it, and nothing that steers the terminal.
    line = plain(message, " ")
    with suppress(OSError, ValueError):  # of a terminal that is closed
        print(f"racer: {line}", file=sys.stderr, flush=True)
        if "--json" in sys.argv[1:]:
            print_json({"error": line, "exit_code": code})
    return code
