"""Directories with test data."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Optional directory beside a clone, with captures of real pages and the schemas of RFC 4287.
SHARED = ROOT.parent / "shared"
#: A directory without certificates: to load those of all authorities takes 40 ms a server.
NO_CERTIFICATES = ROOT / "tests"
