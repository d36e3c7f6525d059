"""The platforms that are built: one file each, and one line here."""

from __future__ import annotations

from browser_node.scraping.sources.base import Source
from browser_node.scraping.sources.directory import Directory
from browser_node.scraping.sources.website import Website

SOURCES: dict[str, type[Source]] = {source.NAME: source for source in (Website, Directory)}
