"""The command line. Results go to stdout, progress and logs to stderr.

Exit codes: 0 well, 1 failed, 2 wrong usage, 3 some inputs refused, 4 a bundle not to be trusted, 5 disk full, 130
interrupted. An error is two lines, what and how to mend it; the traceback comes with ``--debug``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import typer

from laennec.cli import compress, cost, data, dicom, explain, line, look, search, service, studies, trust, ui
from laennec.errors import LaennecError
from laennec.version import VERSION

_INTERRUPTED = 130

app = typer.Typer(
    name="laennec",
    help="Chest radiographs, from the files of a hospital to a model in use. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
line.add_to(app)
compress.add_to(app)
cost.add_to(app)
look.add_to(app)
explain.add_to(app)
data.add_to(app)
studies.add_to(app)
search.add_to(app)
trust.add_to(app)
service.add_to(app)
ui.add_to(app)
dicom.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"laennec {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress and no notes on stderr."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    if debug:
        os.environ["LAENNEC_DEBUG"] = "1"
    if quiet:
        os.environ["LAENNEC_QUIET"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        answer = app(list(arguments) if arguments is not None else None, standalone_mode=False, prog_name="laennec")
    except LaennecError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        answer = _INTERRUPTED
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _complain(f"{error.strerror or type(error).__name__}{where}", "see that the path is right and can be used")
        return 1
    except Exception as error:
        # click's own exceptions know how to show themselves; anything else is a fault of laennec's
        show = getattr(error, "format_message", None)
        if show is not None and type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(show() + "\n")
            return 2
        if show is not None:
            _complain(show(), "laennec COMMAND --help")
            return 2
        _complain(
            f"{type(error).__name__}: {error}", "a fault of laennec: report it with what `laennec --debug …` prints"
        )
        return 1
    if answer == _INTERRUPTED:  # typer answers so itself where it catches the interrupt first
        _complain("interrupted", "an unfinished training goes on when the same command is run again")
    return answer if isinstance(answer, int) else 0


def _complain(message: str, hint: str) -> None:
    if os.environ.get("LAENNEC_DEBUG"):
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n" + (f"hint:  {hint}\n" if hint else ""))
