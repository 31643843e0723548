"""What a stage leaves for people and other programs: files under their own names, in a folder."""

from __future__ import annotations

from winnow.core.store.names import meta_of, place_of
from winnow.dags.shapes.stage_run import StageRun


class PublishingRun(StageRun):
    """A stage whose operator may say in `publishes` the folder of such files."""

    published_phase = "step"  # whose receipts name them

    def publishes(self) -> str:
        """The folder in that of the stage, or nothing."""
        return str(getattr(self.operator, "publishes", ""))

    def after_commit(self) -> None:
        """Publish the files under their own names, where the operator wants that."""
        super().after_commit()
        for source, target in self._published():
            self.store.publish(source, target)

    def unfinished(self) -> bool:
        """True where files are not all published."""
        return super().unfinished() or None in self.store.stats(t for _, t in self._published()).values()

    def retract(self) -> None:
        """Remove the published files."""
        if self.publishes():
            folder = f"{self.node.folder}/{self.publishes()}"
            self.store.delete(folder)
            self.store.delete(meta_of(folder))

    def _published(self) -> list[tuple[str, str]]:
        """(committed file, its published name) of every file."""
        manifest = self.manifest or self.dir.manifest()
        if manifest is None or not self.publishes():
            return []
        folder = f"{self.node.folder}/{self.publishes()}"
        files = (f for receipt in manifest.named(self.published_phase).values() for f in receipt.files)
        return [(f.key, place_of(folder, f.name)) for f in files]
