"""An upstream inside the process, with sample papers: the demo's, and the tests'.

A WSGI application that answers as huggingface.co does, as far as feedsrv asks: pages with the data
in an attribute and rendered cards, redirects from days without a list, and the JSON API. Its papers
are invented, their list days end today, and their ids are not arXiv's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from importlib.resources import files
from typing import Any

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as Answer

from feedsrv.search.analysis import stem, tokenize

Json = dict[str, Any]


def load_sample_papers() -> list[Json]:
    """Return the bundled sample papers, as ``sample.json`` has them."""
    found: list[Json] = json.loads(
        files("feedsrv.upstream").joinpath("sample.json").read_text("utf-8")
    )
    return found


def create_demo_upstream(papers: Sequence[Json], today: Callable[[], date]) -> Flask:
    """Return the application.

    Args:
        papers: In the shape of ``sample.json``; ``day`` counts list days back from the newest.
        today: The day that it is.

    """
    app = Flask("feedsrv-demo", static_folder=None)
    site = _Site(papers, today)
    views: dict[str, Callable[..., Answer]] = {
        "/papers": site.newest,
        "/papers/date/<day>": site.day,
        "/papers/<any(week, month):period>/<key>": site.period,
        "/papers/trending": site.trending,
        "/api/daily_papers": site.api_daily,
        "/api/papers/search": site.api_search,
    }
    for rule, view in views.items():
        app.add_url_rule(rule, view_func=view, endpoint=view.__name__)
    return app


class _Site:
    """The views."""

    def __init__(self, papers: Sequence[Json], today: Callable[[], date]) -> None:
        self._papers = sorted(papers, key=lambda paper: (paper["day"], -paper["upvotes"]))
        self._today = today

    def _days(self) -> dict[str, list[Json]]:
        """Return the entries of each list day, newest first."""
        names = _weekdays(self._today(), 1 + max((p["day"] for p in self._papers), default=0))
        found: dict[str, list[Json]] = {}
        for paper in self._papers:
            name = names[paper["day"]]
            found.setdefault(name, []).append(_entry(paper, name))
        return found

    def _all(self) -> list[Json]:
        return [entry for entries in self._days().values() for entry in entries]

    def newest(self) -> Answer:
        days = self._days()
        newest = max(days)
        if query := request.args.get("q"):
            hits = _search(self._all(), query)
            # As upstream does: the newest day's list is there too, and is not the result.
            props = {"dailyPapers": days[newest], "searchResults": hits, "query": {"q": query}}
            return _page(props, hits)
        return redirect(f"/papers/date/{request.args.get('date') or newest}")

    def day(self, day: str) -> Answer:
        days = self._days()
        names = sorted(days)
        shown = max((name for name in names if name <= day), default=names[0])
        if shown != day:
            return redirect(f"/papers/date/{shown}")
        place = names.index(shown)
        props: Json = {"dailyPapers": days[shown], "dateString": shown, "periodType": "day"}
        if place > 0:
            props["prevDate"] = names[place - 1]
        if place + 1 < len(names):
            props["nextDate"] = names[place + 1]
        return _page(props, days[shown], shown)

    def period(self, period: str, key: str) -> Answer:
        days = self._days()
        found = _between(days, period, key)
        if not found:
            return redirect(f"/papers/{period}/{_period(period, max(days))}")
        return _page({"dailyPapers": found, "dateString": key, "periodType": period}, found, key)

    def trending(self) -> Answer:
        starred = sorted(self._all(), key=lambda entry: -entry["paper"].get("githubStars", 0))[:50]
        return _page({"dailyPapers": starred, "isTrending": True}, starred)

    def api_daily(self) -> Answer:
        args = request.args
        if "date" in args:
            found = self._days().get(args["date"], [])
        elif period := next((name for name in ("week", "month") if name in args), ""):
            found = _between(self._days(), period, args[period])
        else:
            found = self._all()
        return _json(found[: args.get("limit", 50, int)])

    def api_search(self) -> Answer:
        found = _search(self._all(), request.args.get("q", ""))
        return _json(found[: request.args.get("limit", 20, int)])


def _weekdays(newest: date, count: int) -> list[str]:
    """Return so many list days, newest first: there is none at weekends."""
    found: list[str] = []
    day = newest
    while len(found) < count:
        if day.isoweekday() < 6:  # noqa: PLR2004  # Saturday
            found.append(day.isoformat())
        day -= timedelta(days=1)
    return found


def _entry(paper: Mapping[str, Any], day: str) -> Json:
    """Return the paper as upstream would write it; what it does not have is absent, not null."""
    details: Json = {
        "id": paper["id"],
        "authors": [{"name": name, "hidden": False} for name in paper["authors"]],
        "publishedAt": f"{date.fromisoformat(day) - timedelta(days=2)}T00:00:00.000Z",
        "submittedOnDailyAt": f"{day}T00:00:00.000Z",
        "title": paper["title"],
        "summary": paper["summary"],
        "upvotes": paper["upvotes"],
    }
    optional = {
        "ai_keywords": "keywords",
        "ai_summary": "ai_summary",
        "githubRepo": "github",
        "githubStars": "stars",
        "projectPage": "project",
        "mediaUrls": "media",
    }
    details |= {key: paper[name] for key, name in optional.items() if name in paper}
    if "organization" in paper:
        details["organization"] = {"name": "sample", "fullname": paper["organization"]}
    return {"paper": details, "title": paper["title"], "numComments": paper["comments"]}


def _search(entries: Iterable[Json], query: str) -> list[Json]:
    """Return the entries that hold any of the words, most of them first."""
    wanted = set(map(stem, tokenize(query)))
    scored = []
    for entry in entries:
        text = f"{entry['title']} {entry['paper']['summary']}"
        if hits := len(wanted & set(map(stem, tokenize(text)))):
            scored.append((hits, entry))
    return [entry for _, entry in sorted(scored, key=lambda pair: -pair[0])]


def _between(days: Mapping[str, list[Json]], period: str, key: str) -> list[Json]:
    found = (entries for day, entries in days.items() if _period(period, day) == key)
    return [entry for entries in found for entry in entries]


def _period(period: str, day: str) -> str:
    year, week, _ = date.fromisoformat(day).isocalendar()
    return f"{year}-W{week:02d}" if period == "week" else day[:7]


def _json(value: object) -> Answer:
    return Response(json.dumps(value, ensure_ascii=False), mimetype="application/json")


def _page(props: Json, shown: Iterable[Json], label: str = "") -> Answer:
    data = escape(json.dumps(props, ensure_ascii=False))
    day = f'<time datetime="{label}">{label}</time>'
    cards = "".join(map(_card, shown))
    return Response(
        "<!doctype html><html><head><title>Sample papers</title></head><body><main>"
        f'<div data-target="DailyPapers" data-props="{data}">{day}{cards}</div>'
        "</main></body></html>"
    )


def _card(entry: Json) -> str:
    paper = entry["paper"]
    name = paper["id"]
    return (
        f'<article><a href="/login?next=%2Fpapers%2F{name}">Upvote {paper["upvotes"] or "-"}</a>'
        f'<h3><a href="/papers/{name}">{escape(entry["title"])}</a></h3>'
        f"<p>{escape(paper['summary'])}</p><ul><li>{len(paper['authors'])} authors</li></ul>"
        f'<a href="/papers/{name}#community">{entry["numComments"]}</a></article>'
    )
