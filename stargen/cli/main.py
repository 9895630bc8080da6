"""The command `stargen`: one app, one place where errors become words and exit codes.

Exit codes: 0 done, 1 tasks failed, 2 something a person can mend, 3 a bug. Nothing heavy is
imported before a command needs it, so that help and mistakes answer at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from stargen.cli import (
    checking,
    journal,
    looking,
    nodes,
    plugins,
    profiling,
    running,
    starting,
    steering,
    top,
)
from stargen.cli.words import fail
from stargen.errors import JournalError, UserError
from stargen.version import __version__

DONE, TASKS_FAILED, USER, BUG, INTERRUPTED = 0, 1, 2, 3, 130


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stargen {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Star-gen: a factory for computational materials databases.

    A campaign file says what is made, screened, computed and kept: `stargen init` writes a first
    one, `stargen check` reads it, `stargen up` runs it, and runs it on after any interruption.
    """


def build() -> typer.Typer:
    """The app with the commands of this package and of the plugins."""
    app = typer.Typer(
        name="stargen",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command("up", rich_help_panel="Run")(running.up)
    app.command("down", rich_help_panel="Run")(running.down)
    app.command("check", rich_help_panel="Prepare")(checking.check)
    app.command("init", rich_help_panel="Prepare")(starting.init)
    app.command("schema", rich_help_panel="Prepare")(starting.schema)
    app.command("plugins", rich_help_panel="Prepare")(plugins.plugins)
    app.command("status", rich_help_panel="Look")(looking.status)
    app.command("top", rich_help_panel="Look")(top.top)
    app.command("explain", rich_help_panel="Look")(looking.explain)
    app.command("failures", rich_help_panel="Look")(looking.failures)
    app.command("profile", rich_help_panel="Look")(profiling.profile)
    app.command("retry", rich_help_panel="Steer")(steering.retry)
    app.command("cancel", rich_help_panel="Steer")(steering.cancel)
    app.command("hold", rich_help_panel="Steer")(steering.hold)
    app.command("release", rich_help_panel="Steer")(steering.release)
    app.add_typer(journal.app, name="journal", rich_help_panel="Look")
    app.add_typer(nodes.app, name="nodes", rich_help_panel="Steer")
    plugins.add_commands(app)
    return app


def run(arguments: Sequence[str]) -> int:
    """Perform one command line; the exit code."""
    try:
        build()(args=list(arguments), prog_name="stargen")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USER
    except (UserError, JournalError) as error:
        fail(str(error))
        return USER
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads any more: say nothing on the way out
        return DONE
    except Exception:
        traceback.print_exc()
        fail("this is a bug in Star-gen; what the journal holds is safe")
        return BUG
    return DONE


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))
