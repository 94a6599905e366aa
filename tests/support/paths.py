"""Folders that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Beside a clone there may be captures of real pages and the schemas of RFC 4287.
SHARED = ROOT.parent / "shared"
