"""How this copy of winnow is called and extended: commands that work where it was installed from.

Hints must name what works for the reader. winnow from a checkout is extended from that checkout, and a command that is
not on the path is named by where it lies.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

DISTRIBUTION = "winnow-data"
EXTRAS = {
    "torch": "train", "scipy": "train", "tokenizers": "train", "safetensors": "train", "transformers": "hf",
    "accelerate": "hf", "ray": "ray", "matplotlib": "report", "lightgbm": "mixing",
    "gigatoken": "fast", "awkward": "fast",
    "fastwarc": "web", "resiliparse": "web", "trafilatura": "web", "ftfy": "web", "publicsuffixlist": "web",
    "spacy": "entities", "thinc": "entities", "presidio-analyzer": "entities", "phonenumbers": "entities",
    "tldextract": "entities", "gliner": "gliner", "obstore": "remote", "faiss-cpu": "faiss",
    "urllib3": "endpoint", "jsonschema": "endpoint",
}  # fmt: skip


def how_to_install(library: str) -> str:
    """The command that brings a library: an extra of winnow where one holds it."""
    extra = EXTRAS.get(library.partition(".")[0].replace("_", "-"))
    if extra is None:
        return f"{_pip()} install {library}"
    return f"{install_extra(extra)}, or leave the stage out: `--until` an earlier one"


def install_extra(extra: str) -> str:
    """The command that adds an extra to this copy: from its checkout, or by its name where it came by name."""
    folder = checkout()
    wanted = f"{folder or DISTRIBUTION}[{extra}]"
    return f"{_pip()} install {'-e ' if _editable() else ''}{shlex.quote(wanted)}"


def install_folder(folder: Path) -> str:
    """The command that installs a package from its folder, so that edits there are seen."""
    return f"{_pip()} install -e {shlex.quote(str(folder))}"


def command() -> str:
    """How `winnow` is called here: by name where that is this copy, else by its path or as a module."""
    beside = Path(sys.executable).parent / "winnow"
    found = shutil.which("winnow")
    if found is not None and Path(found).parent == beside.parent:
        return "winnow"
    if beside.is_file():
        return shlex.quote(_short(beside))
    return f"{shlex.quote(_short(Path(sys.executable)))} -m winnow"


def checkout() -> Path | None:
    """The folder that this copy was installed from or lies in; None where it came from a package index."""
    beside = Path(__file__).parents[2]
    if (beside / "pyproject.toml").is_file() and (beside / "winnow").is_dir():
        return beside
    url = str(_origin().get("url", ""))
    folder = Path(unquote(urlparse(url).path))
    return folder if url.startswith("file:") and (folder / "pyproject.toml").is_file() else None


def _editable() -> bool:
    info = _origin().get("dir_info")
    return isinstance(info, dict) and bool(info.get("editable"))


def _origin() -> dict[str, object]:
    """What pip wrote down about where the distribution came from (PEP 610)."""
    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return {}
    return dict(json.loads(text)) if text else {}


def _pip() -> str:
    """`pip` where that is this interpreter's; else the interpreter's own."""
    found = shutil.which("pip")
    here = found is not None and Path(found).parent == Path(sys.executable).parent
    return "pip" if here else f"{shlex.quote(_short(Path(sys.executable)))} -m pip"


def _short(path: Path) -> str:
    """The path as one types it here: relative where it lies below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
