"""Verbs about operators: `list`, `check`, `new`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from winnow.cli.options import Json, Sets
from winnow.cli.text import console_for, grid, print_json, say, show


def list_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help=(
        "An operator: its fields, defaults and columns. A filter's preset: its clauses. A recipe: its text."))] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """List the operators, presets and built-in recipes. With a name: the fields of that operator."""
    from winnow.dags.before.catalogue import by_role, described, described_lines, operators, presets, recipes

    if name is not None:
        show(described(name), described_lines, json=json)
        return
    known = operators()
    if json:
        print_json(known)
        return
    console = console_for(sys.stdout)
    console.print(grid(["role", "name", "summary"], [[o["role"], o["name"], o["summary"]] for o in by_role(known)]))
    for title, entries in (("preset", presets()), ("recipe", recipes())):
        if entries:
            console.print()
            console.print(grid([title, "about"], [[r["name"], r["about"]] for r in entries]))
    say(console, [("", ""), ("bold", "winnow list NAME shows the fields of an operator, or the clauses of a preset")])


def check(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A recipe, `module:name`, or an operator's name.")],
    sets: Sets = None, json: Json = False,
) -> None:  # fmt: skip
    """Check a recipe, or an operator by the contract suite. All errors of a recipe are printed at once."""
    from winnow.dags.before.checking import check_target
    from winnow.dags.driver.session import parse_sets

    verdict = check_target(target, sets=parse_sets(sets or []))
    say(console_for(sys.stderr if json else sys.stdout), _check_lines(verdict))
    if json:
        print_json(verdict)
    if not verdict["ok"]:
        raise typer.Exit(2 if verdict["kind"] == "recipe" else 3)


def schema() -> None:
    """Print a JSON Schema of recipes: save it, and editors complete and check them."""
    from winnow.dags.before.recipe_schema import recipe_schema

    print_json(recipe_schema())


def new_(
    kind: Annotated[str, typer.Argument(metavar="scorer|selector|policy|plugin")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The module, the function and its column.")],
    json: Json = False,
) -> None:
    """Write a scorer, selector or policy, its test, its recipe line; or a package. They work as they stand."""
    from winnow.dags.before.scaffold import scaffold

    made = scaffold(kind, name)
    if json:
        print_json({key: str(getattr(made, key)) for key in ("module", "test", "line", "check")})
        return
    lines = [
        ("bold", f"wrote {made.module} and {made.test}"),
        ("", f"recipe: {made.line}"),
        ("", f"check:  {made.check}"),
    ]
    say(console_for(sys.stdout), lines)


def _check_lines(verdict: dict[str, Any]) -> list[tuple[str, str]]:
    from winnow.dags.before.remarks import population_lines, remark_lines

    lines = []
    for error in verdict["errors"]:
        lines.append(("bold red", f"error: {error['what']}"))
        lines += [("red", f"  {key}: {error[key]}") for key in ("where", "hint") if error[key]]
    for finding in verdict["findings"]:
        style = "red" if finding["status"] == "broken" else "yellow"
        lines.append((style, f"{finding['status']}: {finding['rule']}: {finding['message']}"))
    lines += [*population_lines(verdict.get("populations", ())), *remark_lines(verdict.get("remarks", ()))]
    return [
        *lines,
        ("bold green", f"{verdict['target']}: good")
        if verdict["ok"]
        else ("bold red", f"{verdict['target']}: not good"),
    ]
