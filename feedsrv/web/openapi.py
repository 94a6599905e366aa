"""What can be asked of the server, in words for machines: an OpenAPI 3.1 description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feedsrv.models import MAX_ENTRIES
from feedsrv.search.parser import ADDRESS_LIMITS

_Json = dict[str, Any]
_TEXT = {"type": "string"}


def build_description(
    version: str, formats: Mapping[str, str], lists: Iterable[str], feeds: Iterable[str]
) -> _Json:
    """Return the description.

    Args:
        version: That of the server.
        formats: The suffixes of feeds with their media types.
        lists: The names of the listings that have a feed of their own.
        feeds: The names of the configured feeds, as examples.

    """
    format_ = _parameter("path", "format", "How it is written", enum=sorted(formats))
    query = _parameter(
        "query",
        "q",
        "Which papers: words, phrases, AND, OR, NOT, fields",
        maxLength=ADDRESS_LIMITS.length,
    )
    limit = _parameter(
        "query", "limit", "How many entries", type="integer", minimum=1, maximum=MAX_ENTRIES
    )
    part = _parameter("query", "page", "Which part", type="integer", minimum=1, maximum=999)
    name = _parameter("path", "name", "A configured feed, or several with + between", minLength=1)
    name["examples"] = {feed: {"value": feed} for feed in feeds}
    listing = _parameter("path", "listing", "Which list", enum=sorted(lists))
    opml = _parameter("query", "format", "What its links lead to", enum=sorted(formats))
    feed: _Json = {media_type: {} for media_type in formats.values()}
    page: _Json = {"text/html": {}}
    paths: _Json = {}
    for path, what, parameters in (
        ("/papers", "Papers of the window", []),
        ("/papers/{listing}", "The papers of one list", [listing]),
    ):
        paths[path] = _get(f"{what}, as a page", page, [*parameters, query, limit, part])
        paths[f"{path}.{{format}}"] = _get(what, feed, [*parameters, format_, query, limit])
    what = "The papers of configured feeds, each once"
    paths["/feeds/{name}"] = _get(f"{what}, as a page", page, [name, limit, part])
    paths["/feeds/{name}.{format}"] = _get(what, feed, [name, format_, limit])
    paths["/feeds.opml"] = _get("Every configured feed", {"text/x-opml": {}}, [opml])
    paths["/"] = _get("A page to find papers on", page, [query])
    paths["/preview"] = _get("The part of it that tells of a query", page, [query])
    paths["/status"] = _get("What was read when, and what fails, as a page", page, [])
    paths["/status.json"] = _get("The same as data", {"application/json": {}}, [])
    atom: _Json = {formats["atom"]: {}}
    paths["/status.atom"] = _get("What failed for long, and when it was over", atom, [])
    paths["/healthz"] = _get("Whether the process can answer", {"text/plain": {}}, [])
    paths["/readyz"] = _get("Whether there is anything to serve", {"text/plain": {}}, [])
    paths["/metrics"] = _get("Figures for Prometheus", {"text/plain": {}}, [])
    paths["/openapi.json"] = _get("This description", {"application/json": {}}, [])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "feedsrv",
            "summary": "Hugging Face Daily Papers as one feed per keyword, for feed readers",
            "license": {"name": "MIT", "identifier": "MIT"},
            "version": version,
        },
        "servers": [{"url": "."}],
        "security": [{}, {"key": []}, {"password": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "query", "name": "key"},
                "password": {"type": "http", "scheme": "basic"},
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": _TEXT,
                        "title": _TEXT,
                        "status": {"type": "integer"},
                        "detail": _TEXT,
                    },
                }
            },
        },
    }


def _parameter(where: str, name: str, what: str, **schema: object) -> _Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": what,
        "schema": _TEXT | schema,
    }


def _get(what: str, content: _Json, parameters: list[_Json]) -> _Json:
    problems = {
        "400": "The query or a parameter cannot be read",
        "401": "The server is private, and the key is missing or wrong",
        "404": "There is no such feed, list or format",
        "429": "Too many keywords that nobody asked for before; Retry-After says when to come back",
        "503": "Nothing was read from Hugging Face yet; Retry-After says when to come back",
    }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: _Json = {"200": {"description": what, "content": content}}
    if parameters:
        responses["304"] = {"description": "What you hold is still right"}
    for status, reason in problems.items():
        responses[status] = {"description": reason, "content": problem}
    return {"get": {"summary": what, "parameters": parameters, "responses": responses}}
