"""From a recipe to a graph of nodes: composites expanded, columns resolved, files digested, fingerprints made.

Names never enter a fingerprint: a column of another stage is known as (input number, column on disk), inputs are
ordered by lineage (so that another input file does not renumber them), files by content. The order of stages in the
recipe is the order of the data.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.core.errors import ConfigError, WinnowError, did_you_mean
from winnow.core.operators import (
    Composite,
    Derive,
    Kind,
    Operator,
    Rewrite,
    Scope,
    Sub,
    Union,
    port_fields,
    sql,
)
from winnow.core.operators.config import build
from winnow.core.operators.usercode import UserModule
from winnow.core.store.store import Store
from winnow.dags.recipe import text_versions
from winnow.dags.recipe.column_types import check_types
from winnow.dags.recipe.expected import expect_all
from winnow.dags.recipe.found_files import labels_of, refuse_dangling
from winnow.dags.recipe.identity import identify
from winnow.dags.recipe.implied import as_implied, missing, refuse_path, same_stage, spec_of
from winnow.dags.recipe.inline_policies import Said, by_name, desugared, policies_of
from winnow.dags.recipe.input_files import Identity, digest_files
from winnow.dags.recipe.nodes import Node, Plan, carried_types, planned_as, provided
from winnow.dags.recipe.populations import decides, narrowed, population_of, rows_of
from winnow.dags.recipe.registry import operator_class, reader_of
from winnow.dags.recipe.remarks import plan_remarks, refuse_remarks
from winnow.dags.recipe.remote_patterns import known_by_etag
from winnow.dags.recipe.resolve import check_files, check_refs, expanded, resolve_columns, settle
from winnow.dags.recipe.shared_files import tell_shared_files
from winnow.dags.recipe.stages_elsewhere import files_of, with_digests
from winnow.dags.recipe.union_columns import union_outputs
from winnow.dags.recipe.unmatched import unmatched
from winnow.dags.recipe.user_operators import is_user_target, user_operator
from winnow.dags.recipe.yaml_recipe import STAGE_KEYS, Recipe, StageSpec
from winnow.trainers.online.policy import Policy


def make_plan(recipe: Recipe, store: Store | None, *, until: str | None = None, root: str = "") -> Plan:
    """The plan of a recipe, or of its stages up to `until` (later ones need not even be installable).

    `root` is where it is to run, where the store is not given because nothing may be written there.

    Raises ConfigError (nothing has run) on anything that cannot work.
    Cost: lists the input files and digests those that the store's cache does not know.
    """
    planner = Planner(recipe, store, root=root)
    names = [stage.name for stage in recipe.stages]
    if until is not None and until.split(".")[0] not in names:
        raise ConfigError(f"no stage {until!r}", hint=did_you_mean(until, names))
    for stage in recipe.stages:
        try:
            text_versions.check_said(stage.name, stage.text, planner.nodes)
            planner.add(stage)
            text_versions.check_read(stage.name, stage.text, planner.nodes)
        except WinnowError as error:
            raise error.at(f"stages.{stage.name}") from error
        if until is not None and until.split(".")[0] == stage.name:
            break
    tell_shared_files(planner.nodes)
    expect_all(recipe, planner.faces, planner.nodes, whole=until is None)
    remarks = plan_remarks(planner.nodes)
    refuse_remarks(remarks, planner.nodes)
    return Plan(recipe=recipe, nodes=planner.nodes, remarks=remarks)


class Planner:
    """The nodes of a recipe, stage by stage; what a later stage means depends on the earlier ones."""

    def __init__(self, recipe: Recipe, store: Store | None, *, root: str = "") -> None:
        self.recipe, self.store = recipe, store
        self.root = root or (store.location if store else "")
        self.nodes: list[Node] = []
        self.faces: dict[str, Node] = {}
        self.declared: dict[str, Sub] = {}
        self.specs: dict[str, StageSpec] = {}

    def add(self, stage: StageSpec) -> None:
        """Plan one stage of the recipe (and its sub-stages)."""
        if stage.name in self.faces:
            raise ConfigError(f"two stages are called {stage.name!r}")
        stage = self._with_policies(stage)
        operator, user = self.operator(stage)
        sub = Sub(
            name=stage.name,
            operator=operator,
            inputs=stage.inputs,
            where=stage.where,
            seed=stage.seed,
            refs=self._named_refs(stage, operator),
        )
        for name in sub.inputs:
            self._find(name, at=f"stages.{stage.name}.inputs")
        space = None if isinstance(operator, Union) else rows_of(sub, operator, self.faces)
        sub, about = narrowed(stage, sub, operator, space, self.faces)
        self.declared[stage.name], self.specs[stage.name] = sub, stage
        if isinstance(operator, Composite):
            self._expand(stage, sub, operator)
        else:
            self.faces[stage.name] = self._node(stage, sub, {}, user=user)
        face = self.faces[stage.name]
        face.about, face.decides = about, decides(face, operator)
        named = [n for v in sub.refs.values() for n in (v.values() if isinstance(v, Mapping) else [v])]
        face.refers = [self._find(name, at="") for name in named]
        acting = sub.refs.get("policies") or {key: sub.refs[key] for key in ("policy",) if key in sub.refs}
        operators = {label: self._find(name, at="").operator for label, name in acting.items()}
        face.policies = {label: one.said() for label, one in operators.items() if isinstance(one, Policy)}

    def _with_policies(self, stage: StageSpec) -> StageSpec:
        """The stage with its inline policies as stages above it."""
        said = policies_of(stage)
        names = {one.label: self._policy(stage, one) for one in said}
        return desugared(stage, said, names) if said else stage

    def _policy(self, stage: StageSpec, said: Said) -> str:
        """The stage of a policy: the one that is named, or one that is made, over the rows of the arm's data."""
        if isinstance(said.policy, str):
            return said.policy
        spec = said.spec(stage, taken=[*self.faces, *(s.name for s in self.recipe.stages)])
        try:
            if not spec.inputs and self.operator(spec)[0].kind is Kind.COLUMNS:
                over = stage.inputs or (self._space_name(self._ref_name(stage, said.port, said.data)),)
                spec = dataclasses.replace(spec, inputs=over)
            self.add(spec)
        except WinnowError as error:
            raise said.placed(error, stage.name, spec.name) from error
        self.faces[spec.name].implicit = True
        return spec.name

    def operator(self, stage: StageSpec) -> tuple[Operator, UserModule | None]:
        """The operator of a stage, and the user's module where it is one of theirs. Raises ConfigError."""
        where = f"stages.{stage.name}"
        stage = by_name(stage)
        config = {k: v for k, v in stage.config.items() if k != "identity"}
        if is_user_target(stage.use):
            return user_operator(stage.use, config, self.recipe.folder, where=where)
        return build(operator_class(stage.use, where=where), config, where=where, also=STAGE_KEYS), None

    def _named_refs(self, stage: StageSpec, operator: Operator) -> dict[str, Any]:
        refs: dict[str, Any] = {}
        for port, kind in port_fields(operator).items():
            value = getattr(operator, port)
            if kind == "ref" and value:
                refs[port] = self._ref_name(stage, port, value)
            elif kind == "refs" and value:
                known = {v for v in value if v in self.faces or self._inner(v)}
                pairs = value.items() if isinstance(value, Mapping) else labels_of(value, known).items()
                refs[port] = {k: self._ref_name(stage, f"{port}.{k}", v) for k, v in pairs}
        return refs

    def _ref_name(self, stage: StageSpec, port: str, value: str) -> str:
        """The name of a stage; a glob becomes an implicit reader stage."""
        if value in self.faces or self._inner(value):
            return value
        if not any(c in value for c in "/*?[") and "." not in value:
            self._find(value, at=f"stages.{stage.name}.{port}")
        refuse_path(stage, port, value)
        name = f"{stage.name}_{port.replace('.', '_')}"
        if name not in self.faces:
            self.add(self._implied_reader(stage, name, port, value))
            self.faces[name].implicit = True
        return name

    def _implied_reader(self, stage: StageSpec, name: str, port: str, value: str) -> StageSpec:
        """The stage that reads what a path in a port names: a reader of documents, or what the operator says."""
        becomes = {} if is_user_target(stage.use) else operator_class(stage.use).becomes
        use = becomes.get(port.partition(".")[0], "")
        folder = bool(use) and "folder" in operator_class(use).__dataclass_fields__
        config = {"folder": value} if folder else {"files": [value]}
        return StageSpec(name=name, use=use or reader_of(value) or "text_files", config=config)

    def _expand(self, stage: StageSpec, outer: Sub, operator: Composite) -> None:
        scope = Scope(
            stage=stage.name,
            inputs=outer.inputs,
            where=outer.where,
            seed=self.recipe.seed if stage.seed is None else stage.seed,
            lookup=self._lookup,
            space=self._space_name,
            verdicts=self._verdicts,
            planned=lambda name: planned_as(self._find(name, at=""), self.nodes),
        )
        named = dataclasses.replace(operator, **outer.refs)  # globs have become stages
        subs = expanded(named, scope)
        local: dict[str, Node] = {}
        for i, sub in enumerate(subs):
            node = self._node(stage, sub, local, prefix=stage.name, hidden=i < len(subs) - 1)
            local[sub.name] = node
        self.faces[stage.name] = local[subs[-1].name]

    def _lookup(self, name: str) -> Sub:
        node = self._find(name, at="")
        return self.declared.get(name) or node.declared()

    def _space_name(self, name: str) -> str:
        node = self._find(name, at="")
        space = node if node.kind is Kind.ROWS else node.space
        if space is None:
            raise ConfigError(f"stage {name!r} has no row space")
        return space.name

    def _verdicts(self, name: str) -> tuple[str, ...]:
        """The stages whose decisions a stage's columns are: `kept`, and weights."""
        node = self._find(name, at="")
        found = [node.inputs[i] for i, column in node.columns.values() if column.startswith(("kept", "weight"))]
        return tuple(dict.fromkeys(n.spoken for n in found if n.spoken in self.declared))

    def _inner(self, name: str) -> Node | None:
        """The sub-stage `STAGE.SUB` of an earlier stage, such as `quality.fit`."""
        face = name.partition(".")[0]
        return next((n for n in self.nodes if n.face_of == face and n.name == name), None) if "." in name else None

    def _find(self, name: str, *, at: str) -> Node:
        inner = None if name in self.faces else self._inner(name)
        if inner is not None:
            return inner
        if name not in self.faces:
            known = list(self.faces)
            hint = did_you_mean(name, known) if known else "stages are read from top to bottom"
            if any(s.name == name for s in self.recipe.stages):
                hint = f"stages are read from top to bottom: {name!r} must stand above this one"
            raise ConfigError(f"{name!r} is not an earlier stage", where=at, hint=hint)
        return self.faces[name]

    def _node(
        self, stage: StageSpec, sub: Sub, local: Mapping[str, Node], *, prefix: str = "", hidden: bool = False,
        user: UserModule | None = None,
    ) -> Node:  # fmt: skip
        def get(name: str) -> Node:
            return local[name[1:]] if name.startswith(".") else self._find(name, at=f"stages.{stage.name}")

        named = [get(n) for n in sub.inputs]
        inputs = list(dict.fromkeys([*named, *map(get, sub.beside)])) if sub.beside else list(named)
        like = self.specs.get(sub.repeats, stage)  # limits and code are those of the stage that is repeated
        if sub.repeats or sub.code:
            user = self.faces[sub.repeats or sub.code].user
        refs = {
            port: {k: get(v) for k, v in value.items()} if isinstance(value, Mapping) else get(value)
            for port, value in sub.refs.items()
        }
        node = Node(
            name=f"{prefix}.{sub.name}" if prefix else sub.name,
            operator=sub.operator,
            inputs=inputs,
            refs=refs,
            after=[get(name) for name in sub.after],
            seed=sub.seed if sub.seed is not None else self.recipe.seed if stage.seed is None else stage.seed,
            face_of=prefix,
            repeats=sub.repeats,
            hidden=hidden,
            user=user,
            max_bad_share=self.recipe.max_bad_share if like.max_bad_share is None else like.max_bad_share,
            strict=self.recipe.strict if like.strict is None else like.strict,
            timeout_s=like.timeout_s,
        )
        self._place(node)
        self._read_texts(node, sub, like)
        settle(node, self.nodes)
        check_refs(node)
        self._files(node, like)
        self._resolve(node, stage, sub, named)
        identify(node)
        self.nodes.append(node)
        return node

    def _read_texts(self, node: Node, sub: Sub, spec: StageSpec) -> None:
        """Whose text the node reads of its rows and of what it refers to; of a repeated stage what that one reads."""
        where = f"stages.{node.spoken}"
        above = list(itertools.takewhile(lambda n: not sub.repeats or n.spoken != sub.repeats, self.nodes))
        if text_versions.needs_text(node.operator, sub.where):
            node.text = text_versions.text_of(node.space, above, spec.text, where=where)
        node.refs = text_versions.with_texts(node.refs, node.operator, above, spec.text, where=where)
        text_versions.told_of_union(node, above)

    def _place(self, node: Node) -> None:
        """The row space of a node, and that its inputs share one."""
        spaces = {id(s): s for s in (self._space_of(n) for n in node.inputs)}
        if isinstance(node.operator, Union):
            if not node.inputs:
                raise ConfigError("`concat` needs `inputs`", where=f"stages.{node.name}.inputs")
            return
        if len(spaces) > 1:
            names = " and ".join(f"{n.name} (rows of {self._space_of(n).name})" for n in node.inputs)
            raise ConfigError(
                f"the inputs lie in {len(spaces)} row spaces: {names}",
                where=f"stages.{node.name}.inputs",
                hint="`concat` unites row spaces; `carry:` on `write` takes columns along",
            )
        takes_rows = not isinstance(node.operator, Derive) and node.kind in (Kind.COLUMNS, Kind.TABLE)
        if not spaces and (takes_rows or isinstance(node.operator, Rewrite)):
            raise ConfigError("this operator needs `inputs`", where=f"stages.{node.name}", hint="name a reader stage")
        node.space = next(iter(spaces.values()), None)

    def _space_of(self, node: Node) -> Node:
        space = node if node.kind is Kind.ROWS else node.space
        if space is None:
            raise ConfigError(f"stage {node.name!r} ({node.kind}) has no rows to be an input", hint="use a port")
        return space

    def _files(self, node: Node, stage: StageSpec) -> None:
        for port, kind in port_fields(node.operator).items():
            patterns = getattr(node.operator, port)
            if kind != "files" or not patterns:
                continue
            where = f"stages.{stage.name if port in stage.config else node.name}.{port}"  # as the recipe has it
            own = port == "files" or not isinstance(node.operator, Derive)  # a reader's `base` is for what it reads
            base = getattr(node.operator, "base", "") if own else ""
            looked = files_of(node, port, base=base, folder=self.recipe.folder, where=where, root=self.root)
            found = looked.files
            node.told += looked.told
            if isinstance(node.operator, Derive) and own:
                node.told += unmatched(node.operator, found)
                found = node.operator.choose(found)
                if not found:
                    raise ConfigError("every matching file is excluded", where=where, hint="loosen `exclude` or sizes")
            refuse_dangling(found, where)
            node.told += known_by_etag(found)
            check_files(node, found)
            identity: Identity = "stat" if stage.config.get("identity") == "stat" else "content"
            node.trusted = identity != "content"
            node.files[port] = with_digests(node, digest_files(self.store, found, identity))

    def _resolve(self, node: Node, stage: StageSpec, sub: Sub, named: Sequence[Node]) -> None:
        node.outputs = dict(node.operator.outputs())
        if isinstance(node.operator, Union):
            node.outputs = union_outputs(node)
            return
        if node.space is None:
            return
        names = list(dict.fromkeys(["doc_id", *node.operator.needs(), *node.operator.looks_up()]))
        where_names = sql.column_names(sub.where) if sub.where else []
        if sub.where and not where_names:
            raise ConfigError(f"`where: {sub.where}` names no column", where=f"stages.{node.name}.where")
        node.where = sub.where or None
        implied = self._imply(node, sub.where, [*names, *where_names])
        resolved = resolve_columns(node, [*names, *where_names], self.nodes, implied)
        node.columns = {n: resolved[n] for n in names}
        node.chosen_from = text_versions.chosen_from(node.operator, node.columns, node.inputs)
        if sub.where:
            node.where_columns = {n: resolved[n] for n in where_names}
        check_types(node, stage.where)
        node.population = population_of(node, named) if node.operator.population else []
        if isinstance(node.operator, Rewrite):
            node.outputs |= carried_types(node)

    def _imply(self, node: Node, where: str | None, names: Sequence[str]) -> list[Node]:
        """Plan the stages that are implied by columns which no stage has; those that became inputs of the stage."""
        said = self.specs[node.spoken].text if node.spoken in self.specs else ()
        implied = []
        for use, columns in missing(names, node, self.nodes).items():
            spec = spec_of(use, columns, node, where, tokenizer=self.recipe.tokenizer, taken=self.faces, text=said)
            made = same_stage(spec, node, self.nodes, lambda n: self.specs[n.name])
            if made is None:
                self.add(spec)
                made = as_implied(self.faces[spec.name], self.nodes)
            if not any(made is n for n in node.inputs):
                node.inputs.append(made)
                implied.append(made)
        return implied


__all__ = ["Node", "Plan", "make_plan", "provided"]
