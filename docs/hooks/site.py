"""Hooks of the site build: generated pages, the rest of the navigation, and a check that nothing is fetched elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import reference

DOCS = Path(__file__).parent.parent
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|modulepreload|icon|prefetch|manifest))[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|(?:@import\s+(?:url\()?|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)",
    re.IGNORECASE,
)


def on_config(config: Any) -> Any:
    """Add the generated pages and every page that the navigation does not name to it."""
    nav = config["nav"]
    named = _names(nav)
    if twice := {name for name in named if named.count(name) > 1}:
        raise PluginError(f"the navigation names a page twice: {sorted(twice)}")
    reference_nav = next(entry["Reference"] for entry in nav if "Reference" in entry)
    reference_nav += [{title: f"reference/{page}.md"} for page, (title, _) in reference.roles().items()]
    others = sorted(p.name for p in DOCS.glob("*.md") if p.name not in named)
    if others:
        guides = next(entry["Guides"] for entry in nav if "Guides" in entry)
        guides += [*others]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    for path, text in reference.pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_post_build(config: Any) -> None:
    """Refuse a site that makes a browser fetch something from elsewhere."""
    found = remote(Path(config["site_dir"]))
    if found:
        raise PluginError("the site would fetch from elsewhere: " + "; ".join(found[:5]))


def remote(site: Path) -> list[str]:
    """`page: address` of everything that a page or a style sheet would fetch from another host."""
    out = []
    for path in sorted(p for p in site.rglob("*") if p.suffix in (".html", ".css", ".svg")):
        for found in FETCHED.finditer(path.read_text("utf-8")):
            out.append(f"{path.relative_to(site)}: {next(g for g in found.groups() if g)}")
    return out


def _names(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    values = nav.values() if isinstance(nav, dict) else nav
    return [name for value in values for name in _names(value)]
