"""CITATION.cff as BibTeX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "CITATION.cff"
KINDS = {"software": "software", "conference-paper": "inproceedings"}
# BibTeX fields and their names in CFF, https://github.com/citation-file-format.
FIELDS = {
    "title": "title",
    "booktitle": "collection-title",
    "year": "year",
    "version": "version",
    "license": "license",
    "url": "url",
}


def bibtex() -> str:
    """BibTeX entries of the preferred citation and of this software."""
    software = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return f"{_entry(software['preferred-citation'])}\n\n{_entry(software)}"


def _entry(work: Mapping[str, Any]) -> str:
    authors = " and ".join(map(_author, work["authors"]))
    fields = {"author": authors}
    fields |= {ours: work[theirs] for ours, theirs in FIELDS.items() if theirs in work}
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items()]
    return ",\n".join([f"@{KINDS[work['type']]}{{{_key(work)}", *lines]) + "\n}"


def _author(person: Mapping[str, str]) -> str:
    if "name" in person:
        return f"{{{person['name']}}}"  # braces keep a group's name whole
    return f"{person['family-names']}, {person['given-names']}"


def _key(work: Mapping[str, Any]) -> str:
    first = work["authors"][0]
    if "name" in first:
        return str(work["title"]).lower().replace(" ", "-")
    return f"{first['family-names'].lower()}{work['year']}"
