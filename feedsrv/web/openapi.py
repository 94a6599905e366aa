"""The OpenAPI description of the server; `openapi.json` beside this module."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from feedsrv import __version__

_MAX_EXAMPLES = 50


def load_description(feed_names: Iterable[str]) -> dict[str, Any]:
    """Return the description, with some of the configured feeds as examples."""
    text = Path(__file__).with_name("openapi.json").read_text("utf-8")
    description: dict[str, Any] = json.loads(text)
    description["info"]["version"] = __version__
    name_parameter = description["components"]["parameters"]["name"]
    examples = islice(feed_names, _MAX_EXAMPLES)
    name_parameter["examples"] = {name: {"value": name} for name in examples}
    return description
