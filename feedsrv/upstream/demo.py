"""A fake upstream with sample papers, for the demo and for tests.

A WSGI application that responds like huggingface.co to the requests that feedsrv sends while all is
well: pages with props, redirects from days without a list, and single papers.
The papers are invented, the newest list day is today, and the ids are not arXiv's.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from feedsrv.models import Kind, Page
from feedsrv.search.analysis import tokenize
from feedsrv.search.word_families import base_forms

Json = dict[str, Any]

_SATURDAY = 6


def load_sample_papers() -> list[Json]:
    """Return the papers in ``sample.json``."""
    text = files("feedsrv.upstream").joinpath("sample.json").read_text("utf-8")
    papers: list[Json] = json.loads(text)
    return papers


def create_demo_upstream(papers: Sequence[Json], today: Callable[[], date]) -> Flask:
    """Return the WSGI application.

    Args:
        papers: Papers in the format of ``sample.json``; ``day`` is the number of list days between
            the paper's and the newest one.
        today: Returns the current day (UTC).
    """
    app = Flask("feedsrv-demo", static_folder=None)
    app.extensions["site"] = site = DemoSite(papers, today)
    views: dict[str, Callable[..., BaseResponse]] = {
        "/papers": site.newest,
        "/papers/date/<day>": site.day,
        "/papers/<any(week, month):period>/<key>": site.period,
        "/papers/trending": site.trending,
        "/api/papers/<paper_id>": site.api_paper,
    }
    for rule, view in views.items():
        app.add_url_rule(rule, view_func=view, endpoint=view.__name__)
    return app


class DemoSite:
    """The papers and the views of the fake upstream."""

    def __init__(self, papers: Sequence[Json], today: Callable[[], date]) -> None:
        self._papers = papers
        self._today = today

    def days(self) -> dict[str, list[Json]]:
        """Return the entries of each list day, newest first."""
        papers = sorted(self._papers, key=lambda paper: (paper["day"], -paper["upvotes"]))
        oldest = max((paper["day"] for paper in papers), default=0)
        names = _weekdays(self._today(), oldest + 1)
        days: dict[str, list[Json]] = {}
        for paper in papers:
            day = names[paper["day"]]
            days.setdefault(day, []).append(_entry(paper, day))
        return days

    def entries(self) -> list[Json]:
        """Return the entries of all list days, newest first."""
        return [entry for entries in self.days().values() for entry in entries]

    def newest(self) -> BaseResponse:
        days = self.days()
        newest = max(days)
        if query := request.args.get("q"):
            hits = search_entries(self.entries(), query)
            # Upstream's search page also has the newest day's list.
            props = {"dailyPapers": days[newest], "searchResults": hits, "query": {"q": query}}
            return _page(props)
        return redirect(f"/papers/date/{request.args.get('date') or newest}")

    def day(self, day: str) -> BaseResponse:
        days = self.days()
        names = sorted(days)
        nearest = max((name for name in names if name <= day), default=names[0])
        if nearest != day:
            return redirect(f"/papers/date/{nearest}")
        index = names.index(day)
        props: Json = {"dailyPapers": days[day], "dateString": day, "periodType": "day"}
        if index > 0:
            props["prevDate"] = names[index - 1]
        if index + 1 < len(names):
            props["nextDate"] = names[index + 1]
        return _page(props)

    def period(self, period: str, key: str) -> BaseResponse:
        days = self.days()
        entries = entries_of_period(days, period, key)
        if not entries:
            return redirect(f"/papers/{period}/{_period_key(period, max(days))}")
        return _page({"dailyPapers": entries, "dateString": key, "periodType": period})

    def trending(self) -> BaseResponse:
        entries = self.entries()
        entries.sort(key=lambda entry: -entry["paper"].get("githubStars", 0))
        return _page({"dailyPapers": entries[:50], "isTrending": True})

    def api_paper(self, paper_id: str) -> BaseResponse:
        for entry in self.entries():
            if entry["paper"]["id"] == paper_id:
                return json_response(entry["paper"])
        return Response("{}", HTTPStatus.NOT_FOUND, mimetype="application/json")


def _weekdays(newest: date, count: int) -> list[str]:
    """Return that many days, newest first, without Saturdays and Sundays."""
    days: list[str] = []
    day = newest
    while len(days) < count:
        if day.isoweekday() < _SATURDAY:
            days.append(day.isoformat())
        day -= timedelta(days=1)
    return days


def _entry(paper: Mapping[str, Any], day: str) -> Json:
    """Return the paper in upstream's format; optional keys are absent, not null."""
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


def _base_forms(text: str) -> set[str]:
    return {base for word in tokenize(text) for base in base_forms(word)}


def search_entries(entries: Iterable[Json], query: str) -> list[Json]:
    """Return the entries with any of the query's words, those with the most words first."""
    terms = _base_forms(query)
    scored = []
    for entry in entries:
        text = f"{entry['title']} {entry['paper']['summary']}"
        if score := len(terms & _base_forms(text)):
            scored.append((score, entry))
    return [entry for _, entry in sorted(scored, key=lambda pair: -pair[0])]


def entries_of_period(days: Mapping[str, list[Json]], period: str, key: str) -> list[Json]:
    """Return the entries of a week or a month."""
    lists = (entries for day, entries in days.items() if _period_key(period, day) == key)
    return [entry for entries in lists for entry in entries]


def _period_key(period: str, day: str) -> str:
    return Page.of_date(Kind(period), date.fromisoformat(day)).key


def json_response(value: object) -> BaseResponse:
    """Return the value as a JSON response."""
    return Response(json.dumps(value, ensure_ascii=False), mimetype="application/json")


def _page(props: Json) -> BaseResponse:
    data = escape(json.dumps(props, ensure_ascii=False))
    return Response(
        "<!doctype html><html><head><title>Sample papers</title></head><body><main>"
        f'<div data-target="DailyPapers" data-props="{data}"></div></main></body></html>'
    )
