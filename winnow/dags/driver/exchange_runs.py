"""Stage runs of the shapes in which parts meet: Fold (tree merge, rounds), Group (exchange), Rewrite (shards)."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson

from winnow.core.operators import Kind, Rewrite
from winnow.core.store.formats import format_named
from winnow.core.store.manifest import FileRef, Manifest, Receipt, unit_key
from winnow.core.store.parts import check_unchanged
from winnow.dags.driver.shape_runs import MapRun
from winnow.dags.driver.stage_run import Item

FAN_IN = 64
ROWS_PER_BUCKET = 500_000


class FoldRun(MapRun):
    """Summaries per part, merged 64 at a time, in rounds; then a decision per part."""

    def ready(self) -> list[Item]:
        """Whatever can start in the current round."""
        parts = len(self.inputs[0].parts)
        if not self.refs_ready() or (self.busy and parts == self.known):
            return []  # what is under way decides what comes next
        self.known = parts
        state: Receipt | None = None
        for number in range(1000):
            step = self._round(number, state)
            if isinstance(step, list):
                return step
            state = step
            if state.extra["done"]:
                return self._decisions(state)
        raise AssertionError("a Fold needs more than 1000 rounds")

    def _round(self, number: int, state: Receipt | None) -> list[Item] | Receipt:
        """This round's work, or the state it ended with."""
        items, pieces = [], []
        told = self._told(state)
        for unit in sorted(self.inputs[0].parts):  # never in order of arrival: the pieces' order is in the keys
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            key = self.part_key("summary", receipts, number, state.digest if state else "")
            phase = f"summary-{number:02d}"
            found = self.found(phase, unit, key)
            if found is None:
                payload = self.part_payload(receipts)
                items.append(self.item("summarise", phase, unit, key, round=number, state=told, **payload))
            else:
                pieces.append(found)
        if items or len(pieces) < len(self.inputs[0].parts) or not self._inputs_closed():
            return items
        return self._merge(number, pieces, told)

    def _merge(self, number: int, pieces: list[Receipt], told: Any) -> list[Item] | Receipt:
        """The tree: groups of 64 until one is left, which advances the state."""
        level = 0
        while len(pieces) > FAN_IN:
            items, merged = [], []
            for i in range(0, len(pieces), FAN_IN):
                group = pieces[i : i + FAN_IN]
                found = self._merged(f"merge-{number:02d}-{level}", f"{i // FAN_IN:05d}", group, told, last=False)
                if isinstance(found, Item):
                    items.append(found)
                elif found:
                    merged.append(found)
            if items or len(merged) < -(-len(pieces) // FAN_IN):
                return items
            pieces, level = merged, level + 1
        found = self._merged(f"state-{number:02d}", "all", pieces, told, last=True)
        if isinstance(found, Item):
            return [found]
        return found or []

    def _merged(self, phase: str, unit: str, group: list[Receipt], told: Any, *, last: bool) -> Item | Receipt | None:
        key = unit_key(self.node.family, phase, [r.digest for r in group], self.refs_digest(), told)
        found = self.found(phase, unit, key)
        if found or (phase, unit) in self._scheduled:
            return found
        named = [(r.phase, r.unit, r.key) for r in group]
        return self.item("merge", phase, unit, key, pieces=named, last=last, state=told)

    def _decisions(self, state: Receipt) -> list[Item]:
        items = []
        for unit in list(self.inputs[0].parts):
            receipts = self.inputs_of(unit)
            assert receipts is not None
            key = self.part_key("part", receipts, state.digest)
            found = self.found("part", unit, key)
            if found is None:
                payload = self.part_payload(receipts)
                items.append(self.item("decide", "part", unit, key, state=self._told(state), **payload))
            elif unit not in self.parts:
                self.parts[unit] = found
                self.version += 1
        return items

    def noted(self) -> dict[str, Any]:
        """What every round noted; the later one where both did."""
        states = [r for (phase, _), r in self._receipts.items() if phase.startswith("state-")]
        states.sort(key=lambda r: int(r.phase.removeprefix("state-")))
        return {name: value for r in states for name, value in r.notes.items()}

    def _told(self, state: Receipt | None) -> list[str] | None:
        return [state.phase, state.unit, state.key] if state else None


class GroupRun(MapRun):
    """Keys to buckets, buckets resolved, answers collected (or kept as a table)."""

    sends = "send"  # the work that deals the rows of a part to buckets, or to shards

    @property
    def final_phase(self) -> str:  # type: ignore[override]
        """`table` or `part`."""
        return "table" if self.node.kind is Kind.TABLE else "part"

    def ready(self) -> list[Item]:
        """Sends; then resolves; then collects. Starts when the rows are known (bucket count follows from them)."""
        if self.busy or not self.refs_ready() or not self._inputs_closed():
            return []
        units = sorted(self.inputs[0].parts)
        buckets = self._buckets()
        self.known = buckets if self.node.kind is Kind.TABLE else len(units)
        sent = self._phase([self._send(u, buckets) for u in units])
        if isinstance(sent, list):
            return sent
        if not all(r.manifest for r in self.inputs):
            return []
        senders = [(r.unit, r.key) for r in sent.values()]
        listed = unit_key(senders)
        resolved = self._phase([self._resolve(b, listed, senders) for b in range(buckets)])
        if isinstance(resolved, list) or self.node.kind is Kind.TABLE:
            return resolved if isinstance(resolved, list) else []
        answers = [(r.unit, r.key) for r in resolved.values()]
        told = unit_key(answers)
        collected = self._phase([self._collect(n, u, answers, told) for n, u in enumerate(units)])
        if isinstance(collected, list):
            return collected
        if set(collected) != set(self.parts):
            self.parts = dict(collected)
            self.version += 1
        return []

    def _phase(self, steps: list[Item | Receipt | None]) -> list[Item] | dict[str, Receipt]:
        """The items of a phase that is not through, else its receipts."""
        if all(isinstance(s, Receipt) for s in steps):
            return {s.unit: s for s in steps if isinstance(s, Receipt)}
        return [s for s in steps if isinstance(s, Item)]

    def _buckets(self) -> int:
        if self.options.buckets:
            return self.options.buckets
        parts = self.inputs[0].parts.values()
        rows = sum(r.rows for r in parts)
        return max(1, min(4096, max(-(-rows // ROWS_PER_BUCKET), min(4, len(parts)))))

    def _send(self, unit: str, buckets: int) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("send", receipts, buckets)
        found = self.found("send", unit, key)
        if found or ("send", unit) in self._scheduled:
            return found
        return self.item(self.sends, "send", unit, key, buckets=buckets, **self.part_payload(receipts))

    def _resolve(self, bucket: int, listed: str, senders: list[tuple[str, str]]) -> Item | Receipt | None:
        phase = "table" if self.node.kind is Kind.TABLE else "resolve"
        unit = f"{bucket:05d}"
        key = unit_key(self.node.family, phase, bucket, listed, self.refs_digest())
        found = self.found(phase, unit, key)
        if found or (phase, unit) in self._scheduled:
            return found
        return self.item("resolve", phase, unit, key, bucket=bucket, list=self.put_list(senders, listed))

    def _collect(self, number: int, unit: str, answers: list[tuple[str, str]], told: str) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("part", receipts, told)
        found = self.found("part", unit, key)
        if found or ("part", unit) in self._scheduled:
            return found
        payload = self.part_payload(receipts)
        return self.item("collect", "part", unit, key, part=number, list=self.put_list(answers, told), **payload)

    @property
    def closed(self) -> bool:
        """True when every part is collected."""
        return self.manifest is not None or (self.node.kind is not Kind.TABLE and MapRun.closed.fget(self))  # type: ignore[attr-defined]

    def finished(self) -> bool:
        """True when all buckets (table) or parts are there."""
        if self.node.kind is not Kind.TABLE:
            return super().finished()
        return self.known > 0 and len(self._tables()) == self.known

    def final_receipts(self) -> list[Receipt]:
        """Bucket tables or parts."""
        return self._tables() if self.node.kind is Kind.TABLE else list(self.parts.values())

    def _tables(self) -> list[Receipt]:
        return [r for (phase, _), r in sorted(self._receipts.items()) if phase == "table"]


class RewriteRun(GroupRun):
    """Count, send, write: the shards of a new row space, then published under plain names."""

    final_phase = "part"  # type: ignore[assignment]
    sends = "write_send"

    def ready(self) -> list[Item]:
        """Counts, then sends, then shards."""
        if self.busy or not self.refs_ready() or not self._inputs_closed():
            return []
        operator = self.node.operator
        assert isinstance(operator, Rewrite)
        units = sorted(self.inputs[0].parts)
        if operator.by_source():
            self.known = len(units)
            return self._take(self._phase([self._shard(n, u, [], "", 0) for n, u in enumerate(units)]))
        counted = self._phase([self._count(u) for u in units])
        if isinstance(counted, list):
            return counted
        rows = sum(r.extra["rows"] for r in counted.values())
        size = sum(r.extra["bytes"] for r in counted.values())
        self.known = shards = operator.num_shards(rows, size)
        sent = self._phase([self._send(u, shards) for u in units])
        if isinstance(sent, list):
            return sent
        senders = [(r.unit, r.key) for r in sent.values()]
        listed = unit_key(senders)
        return self._take(self._phase([self._shard(n, f"{n:05d}", senders, listed, shards) for n in range(shards)]))

    def _take(self, shards: list[Item] | dict[str, Receipt]) -> list[Item]:
        if isinstance(shards, list):
            return shards
        if set(shards) != set(self.parts):
            self.parts = dict(shards)
            self.version += 1
        return []

    def _count(self, unit: str) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("count", receipts)
        found = self.found("count", unit, key)
        if found or ("count", unit) in self._scheduled:
            return found
        return self.item("count", "count", unit, key, **self.part_payload(receipts))

    def _shard(
        self, number: int, unit: str, senders: list[tuple[str, str]], listed: str, shards: int
    ) -> Item | Receipt | None:
        more: dict[str, Any] = {"shard": number}
        if shards:
            key = unit_key(self.node.family, "shard", number, shards, listed)
        else:
            receipts = self.inputs_of(unit)
            assert receipts is not None
            key = self.part_key("shard", receipts)
            more |= self.part_payload(receipts)
        found = self.found("part", unit, key)
        if found or ("part", unit) in self._scheduled:
            return found
        if shards:
            more["list"] = self.put_list(senders, listed)
        return self.item("write_shard", "part", unit, key, **more)

    @property
    def closed(self) -> bool:
        """True when every shard is written."""
        return self.manifest is not None or self.finished()

    def finished(self) -> bool:
        """True when every shard is written."""
        return self.known > 0 and len(self.parts) == self.known

    def final_receipts(self) -> list[Receipt]:
        """The shards."""
        return [self.parts[u] for u in sorted(self.parts)]

    def after_commit(self) -> None:
        """Publish the shards under plain names, with an index."""
        super().after_commit()
        publish(self)

    def unfinished(self) -> bool:
        """True where the shards are not all published."""
        index = f"{self.node.folder}/shards/index.json"
        return super().unfinished() or not all(self.store.exists(key) for key in (index, *self._published()))

    def _refuse_tampered(self, found: Manifest) -> None:
        """As everywhere, and the shards under their plain names too: trainers read those."""
        super()._refuse_tampered(found)
        committed_at = self.store.path(f"{self.node.folder}/manifest.json").stat().st_mtime_ns
        plain = {k: dataclasses.replace(ref, key=k) for k, ref in self._published(found).items()}
        check_unchanged(self.store, (ref for k, ref in plain.items() if self.store.exists(k)), committed_at)

    def _published(self, found: Manifest | None = None) -> dict[str, FileRef]:
        """Plain name of every shard -> the file that was committed."""
        manifest = found or self.manifest or self.dir.manifest()
        parts = manifest.named("part") if manifest else {}
        return {shard_key(self, n, len(parts)): parts[u].files[0] for n, u in enumerate(sorted(parts))}

    def retract(self) -> None:
        """Shards of other inputs must not stay under the plain names."""
        self.store.delete(f"{self.node.folder}/shards")


def shard_key(run: RewriteRun, number: int, shards: int) -> str:
    """The plain name of a shard."""
    operator = run.node.operator
    assert isinstance(operator, Rewrite)
    return f"{run.node.folder}/shards/shard-{number:05d}-of-{shards:05d}{format_named(operator.shard_format()).suffix}"


def publish(run: RewriteRun) -> None:
    """`shards/shard-00000-of-00004.parquet` as links to the committed files, and `shards/index.json`."""
    index = []
    for number, receipt in enumerate(run.final_receipts()):
        key, ref = shard_key(run, number, run.known), receipt.files[0]
        run.store.link_new(ref.key, key)
        index.append({"file": key.rpartition("/")[2], "rows": receipt.rows, "bytes": ref.size, "xxh3_128": ref.digest,
                      "text_bytes": receipt.counts["text_bytes"], "tokens": receipt.counts.get("tokens")})  # fmt: skip
    body = {"shards": index, "content_digest": run.manifest.content_digest if run.manifest else ""}
    run.store.put_new(f"{run.node.folder}/shards/index.json", orjson.dumps(body, option=orjson.OPT_INDENT_2))
