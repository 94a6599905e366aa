"""The paths of upstream's pages and of its JSON API."""

from datetime import date
from urllib.parse import quote_plus

from feedsrv.models import Kind, Page


def page_path(page: Page) -> str:
    """Return the path and query of the page."""
    match page.kind:
        case Kind.DAY:
            return f"/papers/date/{page.key}"
        case Kind.WEEK | Kind.MONTH:
            return f"/papers/{page.kind}/{page.key}"
        case Kind.TRENDING:
            return "/papers/trending"
        case Kind.SEARCH:
            return f"/papers?q={quote_plus(page.key)}"
        case Kind.PAPER:
            return f"/papers/{page.key}"


def api_path(page: Page, today: date) -> str:
    """Return the path and query of the JSON API's list of the same papers.

    If a day has no list, its page redirects to an earlier day. The API returns an empty list or an
    error instead, so for today's list the newest papers of any day are requested.
    """
    match page.kind:
        case Kind.DAY if page.key >= today.isoformat():
            return "/api/daily_papers?limit=100"
        case Kind.DAY:
            return f"/api/daily_papers?date={page.key}&limit=100"
        case Kind.WEEK | Kind.MONTH:
            return f"/api/daily_papers?{page.kind}={page.key}&limit=100"
        case Kind.TRENDING:
            return "/api/daily_papers?sort=trending&limit=50"
        case Kind.SEARCH:
            return f"/api/papers/search?q={quote_plus(page.key)}&limit=120"
        case Kind.PAPER:
            return f"/api/papers/{page.key}"
