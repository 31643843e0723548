"""The command line: verbs only, one file per group of them. May import every room; only `winnow.__main__` imports it.

Exit codes: 0; 2 configuration (nothing has run); 3 data; 4 engine or store; 130 Ctrl-C. With `--json` the last line
of stdout is one JSON object (of an error too; a failed run's stages are the line before), everything else is on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from winnow.cli import looking, operators, sets
from winnow.cli import run as running
from winnow.cli.text import LOGS, console_for, print_json, say
from winnow.core.errors import StoreError
from winnow.core.terminal import Forgiving

VERBS = (  # in the order of the help
    ("run", running.run), ("demo", running.demo), ("plan", running.plan), ("warm", running.warm),
    ("why", looking.why), ("sample", looking.sample), ("sweep", looking.sweep), ("diff", looking.diff),
    ("list", operators.list_), ("check", operators.check), ("report", looking.report),
    ("export", sets.export), ("card", sets.card), ("ablate", sets.ablate), ("new", operators.new_),
    ("schema", operators.schema),
    ("runs", looking.runs), ("forget", looking.forget), ("gc", running.gc),
)  # fmt: skip
app = typer.Typer(
    name="winnow", add_completion=False, invoke_without_command=True, pretty_exceptions_enable=False,
    rich_markup_mode=None, context_settings={"max_content_width": 120},
    help="Curate and select pretraining data, and measure in the same run whether it helped.",
)  # fmt: skip
for _verb, _function in VERBS:
    app.command(_verb)(_function)

# verbs that run no code of users, who may want pandas
_ONLY_LOOKING = {"list", "why", "sample", "sweep", "diff", "export", "card", "gc", "runs", "forget"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors are printed, never raised."""
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if argv is None:
        from winnow.core.quick_start import process_is_ours, without_pandas

        process_is_ours()
        if args[:1] and args[0] in _ONLY_LOOKING:
            without_pandas()
    LOGS.clear()
    if argv is None:
        return _forgiving(args)
    return _called(args)


def _forgiving(args: list[str]) -> int:
    """The verb as a process, whose standard streams may be ASCII, closed, or closed while it works."""
    sys.stdout, sys.stderr = Forgiving(sys.stdout), Forgiving(sys.stderr)  # type: ignore[assignment]
    from winnow.core.quick_start import quick_end

    code = _called(args)
    quick_end()
    try:
        sys.stdout.flush()
    except StoreError as error:
        say(console_for(sys.stderr), [("bold red", f"error: {error.what}")])
        return code or error.exit_code
    return code


def _called(args: list[str]) -> int:
    from winnow.core.quick_start import few_collections
    from winnow.dags.before.problems import as_error, error_json, error_lines

    try:
        with few_collections():
            code = app(args=args, prog_name="winnow", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    except BaseException as raised:  # noqa: BLE001 (the one place where everything ends)
        error = as_error(_translated(raised, args[0]), LOGS[-1] if LOGS else None)
        say(console_for(sys.stderr), error_lines(error))
        if "--json" in args:
            print_json(error_json(error))
        return error.exit_code


@app.callback()
def about(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Options before a verb."""
    if version:
        import winnow

        sys.stdout.write(f"winnow {winnow.__version__}\n")
        raise typer.Exit(0)


def _translated(error: BaseException, verb: str) -> BaseException:
    """Errors of the argument parser as ConfigError, its Abort as Ctrl-C."""
    from winnow.core.errors import ConfigError

    if isinstance(error, typer.Abort) or type(error).__name__ == "Abort":
        return KeyboardInterrupt()
    message: Callable[[], str] | None = getattr(error, "format_message", None)
    if callable(message):
        known = verb in dict(VERBS)
        asks = f"`winnow {verb} --help` prints" if known else "`winnow --help` and `winnow VERB --help` print"
        return ConfigError(message(), hint=f"{asks} what there is")
    return error
