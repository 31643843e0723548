"""Code blocks of the documentation: found, run as a reader would, and checked against what winnow really offers."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from winnow.cli import app, main
from winnow.core.errors import ConfigError
from winnow.core.operators.config import build
from winnow.dags.recipe.inline_policies import by_name
from winnow.dags.recipe.registry import operator_class
from winnow.dags.recipe.user_operators import is_user_target
from winnow.dags.recipe.yaml_recipe import STAGE_KEYS, TOP_KEYS, StageSpec, parse_recipe

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
_BLOCK = re.compile(
    r"^(?P<pad>[ \t]*)(?:<!-- (?P<mark>run|output)(?:: exit (?P<code>\d+))? -->[ \t]*\n[ \t]*)?"
    r"```[ \t]*(?P<language>\w*)[^\n]*\n(?P<body>.*?)^[ \t]*```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_FILE = re.compile(r"# ([\w./-]+\.(?:yaml|yml|py|json))(, continued)?\s*\n")
_PLAIN = re.compile(r"winnow [^|&;<>$`]*\Z")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: its language, its text, whether it is to be run and how it is to end."""

    language: str
    body: str
    mark: str
    code: int
    line: int

    @property
    def file(self) -> tuple[str, bool] | None:
        """(name, whether to append) where the first line is a comment that names a file."""
        found = _FILE.match(self.body)
        return (found[1], bool(found[2])) if found else None


def pages() -> list[Path]:
    """Every page of the documentation, README and CONTRIBUTING among them."""
    return [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order; a marked one says so in the comment on the line above it."""
    return [
        Block(
            language=found["language"],
            body=textwrap.dedent(found["body"]),
            mark=found["mark"] or "",
            code=int(found["code"] or 0),
            line=text.count("\n", 0, found.start("language")) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]


class Reader:
    """Someone who follows a page: runs its marked blocks in one folder, in order, python in one namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.told = ""

    def follow(self, page: str) -> int:
        """Run a page's blocks; the number that ran."""
        count = 0
        for block in blocks(page):
            if block.mark == "run":
                self.run(block)
                count += 1
            elif block.mark == "output":
                missing = untold(block.body, self.told)
                assert not missing, f"line {block.line}: the page shows {missing!r}; the run told\n{self.told}"
        return count

    def run(self, block: Block) -> None:
        """Write the block's file, or run it and keep what it prints."""
        if block.file and block.language in ("yaml", "python"):
            name, more = block.file
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if more else "w") as sink:
                sink.write(block.body)
            return
        sink = io.StringIO()
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), self._here():
            code = self._python(block) if block.language == "python" else self._bash(block)
        self.told = sink.getvalue()
        assert code == block.code, f"line {block.line}: exit {code}\n{block.body}\n{self.told}"

    def _python(self, block: Block) -> int:
        exec(compile(block.body, f"<block at line {block.line}>", "exec"), self.names)
        return 0

    def _bash(self, block: Block) -> int:
        assert block.language == "bash", f"line {block.line}: {block.language!r} blocks are not run"
        code = 0
        lines = commands(block.body)
        if not all(_PLAIN.match(line) for line in lines):
            return self._shell(block.body)
        for line in lines:
            code = main(_in_process(shlex.split(line)[1:]))
            if code:
                break
        return code

    def _shell(self, body: str) -> int:
        env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", body],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout, done.stderr)
        return done.returncode

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        before, path = set(sys.modules), list(sys.path)
        with contextlib.chdir(self.folder):
            sys.path.insert(0, str(self.folder))
            importlib.invalidate_caches()
            try:
                yield
            finally:
                sys.path[:] = path
                for name in set(sys.modules) - before:
                    file = getattr(sys.modules[name], "__file__", None)
                    if file and Path(file).is_relative_to(self.folder):
                        del sys.modules[name]


def _in_process(argv: list[str]) -> list[str]:
    """A run keeps to this process: workers change no result, and starting them takes seconds."""
    return [*argv, "--workers", "0"] if argv[0] in ("run", "demo") and "--workers" not in argv else argv


def untold(shown: str, told: str) -> list[str]:
    """Lines of `shown` that `told` does not have, in this order; `...` stands for anything, blanks for blanks."""
    lines = [" ".join(line.split()) for line in told.splitlines()]
    position, missing = 0, []
    for line in shown.splitlines():
        wanted = " ".join(line.split())
        if wanted in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(piece) for piece in re.split(r" ?\.\.\. ?", wanted)) + r"\Z")
        found = next((i for i in range(position, len(lines)) if pattern.match(lines[i])), None)
        if found is None:
            missing.append(line)
        else:
            position = found + 1
    return missing


def commands(body: str) -> list[str]:
    """The commands of a shell block, without comments, continued lines joined."""
    joined = body.replace("\\\n", " ")
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in joined.splitlines())
    return [line for line in lines if line]


def problems(page: Path) -> list[str]:
    """What a page shows that is not so: code that does not parse, unknown operators, fields, verbs, options."""
    text = page.read_text("utf-8")
    found = []
    for block in blocks(text):
        told = _block_problem(block)
        found += [f"{page.name}:{block.line}: {problem}" for problem in told]
    bare = _BLOCK.sub("", text)
    for span in _INLINE.findall(bare):
        found += [f"{page.name}: `{span}`: {problem}" for problem in _span_problem(span)]
    return found


def _block_problem(block: Block) -> list[str]:
    if block.language == "python":
        return _tried(lambda: ast.parse(block.body))
    if block.language == "yaml":
        return _tried(lambda: check_yaml(block.body))
    if block.language in ("bash", "sh", "shell"):
        return [problem for line in commands(block.body) for problem in _tried(lambda line=line: check_command(line))]
    if block.language not in ("text", "json", "toml", ""):
        return [f"no check for {block.language!r} blocks"]
    return [] if block.language else ["a block without a language"]


def _span_problem(span: str) -> list[str]:
    if span.startswith("{use:"):
        return _tried(lambda: check_stage("stage", YAML(typ="safe", pure=True).load(span), complete=False))
    if re.match(r"winnow [a-z]+( |\Z)", span):
        return _tried(lambda: check_options(shlex.split(span)[1:]))
    return []


def _tried(check: Any) -> list[str]:
    try:
        check()
    except (ConfigError, SyntaxError, AssertionError, ValueError) as error:
        return [str(error)]
    except Exception as error:  # errors of the argument parser and of YAML are of many kinds
        return [f"{type(error).__name__}: {getattr(error, 'message', error)}"]
    return []


def check_yaml(body: str) -> None:
    """Raise where a YAML block is no recipe, no stages of one and no top-level keys of one."""
    raw = YAML(typ="safe", pure=True).load(body)
    assert isinstance(raw, dict), "neither a recipe nor stages"
    if "stages" in raw:
        parse_recipe(body, name="page", folder=ROOT)
        stages = raw["stages"]
    elif all(isinstance(value, dict) and "use" in value for value in raw.values()):
        stages = raw
    else:
        unknown = set(raw) - set(TOP_KEYS)
        assert not unknown, f"not a key of recipes: {sorted(unknown)}"
        stages = {}
    for name, stage in stages.items():
        check_stage(name, stage)


def check_stage(name: str, stage: Any, *, complete: bool = True) -> None:
    """Raise where a stage's operator or one of its fields does not exist, or (complete) cannot have its value."""
    assert isinstance(stage, dict), f"{name}: not a stage"
    assert stage.get("use"), f"{name}: no operator"
    fields = {k: v for k, v in stage.items() if k not in (*STAGE_KEYS, "identity")}
    if is_user_target(stage["use"]):
        return
    cls = operator_class(stage["use"], where=name)
    unknown = set(fields) - {f.name for f in dataclasses.fields(cls)}
    assert not unknown, f"{stage['use']!r} has no field {sorted(unknown)}"
    if complete and not any(isinstance(v, str) and "${" in v for v in fields.values()):
        spec = by_name(StageSpec(name=name, use=stage["use"], config=fields))
        build(cls, spec.config, where=name)


def check_command(line: str) -> None:
    """Raise where a `winnow` command of a shell line is not one that its parser takes, or a `make` target is none."""
    for piece in re.split(r"\s*(?:\|\||&&|[|;&])\s*", line):
        words = shlex.split(piece)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words and Path(words[0]).name == "winnow" and len(words) > 1 and not words[1].startswith("-"):
            verbs()[_verb(words[1])].make_context(words[1], words[2:])
        for target in words[1:] if words[:1] == ["make"] else []:
            known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert target in known or "=" in target, f"no target {target!r}"


def check_options(words: list[str]) -> None:
    """Raise where a verb or one of the options named in running text does not exist."""
    known = {option for parameter in verbs()[_verb(words[0])].params for option in parameter.opts} | {"--help"}
    unknown = [w for w in words[1:] if w.startswith("-") and w.split("=")[0] not in known]
    assert not unknown, f"winnow {words[0]} has no {unknown}"


def verbs() -> dict[str, Any]:
    """Verb -> its command."""
    import typer.main

    found: dict[str, Any] = typer.main.get_command(app).commands
    return found


def _verb(word: str) -> str:
    assert word in verbs(), f"winnow has no verb {word!r}"
    return word


def write_corpus(folder: Path) -> None:
    """`docs.jsonl` and `stars.jsonl` as the pages use them."""
    loaded(DOCS / "examples" / "small_corpus.py").write(folder / "docs.jsonl")


def loaded(path: Path) -> Any:
    """The module in a file of the documentation."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
