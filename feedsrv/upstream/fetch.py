"""Fetch the listing of one page: from the page, else from the JSON API.

::

    page ── complete? ── listing
      │ no, or no response for most of the time that a reader waits
      └── JSON API ── listing, else what the page had: damaged data, or cards

A page without a response is not given up when the API is asked: whichever responds first is used.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from threading import Thread
from typing import NamedTuple, TypeVar

import msgspec

from feedsrv.errors import FetchError, ParseError, RequestNotSentError, UpstreamError
from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.unparsed_pages import UnparsedPages
from feedsrv.upstream.client import FetchResult, UpstreamClient, Validators
from feedsrv.upstream.parser import count_api_entries, parse_api_response, parse_page
from feedsrv.upstream.paths import api_path, page_path

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Share of the time for the page alone. After that, the API is asked too.
_PAGE_SHARE = 0.7
#: The most seconds for the API and for the page of a single paper.
_MAX_PAPER_SECONDS = 4.0
#: Seconds until a paper that upstream does not have is asked for again.
_MISSING_PAPER_BACKOFF = 86_400.0
#: Lists that the API divides into pages, and how many of them are fetched: 400 papers.
_PAGED_KINDS = {Kind.DAY, Kind.WEEK, Kind.MONTH}
_MAX_API_PAGES = 4
#: Entries of a full page: by default, and at most.
_API_PAGE_SIZES = {50, 100}
#: How often `on_wait` is called, and the most seconds between two calls.
_POLLS = 60
_MAX_POLL_SECONDS = 0.5


class FetchedListing(NamedTuple):
    """A listing, and what upstream said about further requests."""

    listing: Listing
    #: The URL of the response.
    url: str
    #: Seconds for which upstream wants no further request; 0 if it did not say so.
    retry_after: float

    @property
    def is_complete(self) -> bool:
        """Whether no other response can have more: it is the page's data, without damage."""
        return self.listing.parsed_from == "data" and not self.listing.skipped


class ListingFetcher:
    """Fetches the listing of one page at a time, and saves responses that cannot be parsed."""

    def __init__(self, client: UpstreamClient, unparsed_pages: UnparsedPages) -> None:
        self._client = client
        self._unparsed_pages = unparsed_pages

    def fetch(
        self,
        page: Page,
        stored: Listing | None,
        now: datetime,
        *,
        max_seconds: float,
        awaited_seconds: Callable[[], float],
        acquire_slot: Callable[[], None],
        on_wait: Callable[[float], None],
        on_layout_change: Callable[[str], None],
    ) -> FetchedListing:
        """Return the listing.

        Args:
            page: The page.
            stored: Its stored listing, for a conditional request.
            now: The current time (UTC).
            max_seconds: How long upstream may take.
            awaited_seconds: Returns for how many seconds a reader waits.
            acquire_slot: Called before the API is asked and before a redirect is followed. It may
                wait or raise.
            on_wait: Called now and then with the seconds that upstream has taken. It may raise.
            on_layout_change: Called with the reason if the page has no complete data.

        Raises:
            UpstreamError: There is none.
        """
        if page.kind is Kind.PAPER:
            return self._fetch_paper(page, now, max_seconds, acquire_slot)
        started = self._client.deadline_after(0)
        deadline = started + max_seconds
        page_request = start_request(
            partial(self._fetch_page, page, stored, now, deadline, acquire_slot)
        )
        requests = [page_request]
        poll_seconds = min(max_seconds / _POLLS, _MAX_POLL_SECONDS)

        def await_response(is_over: Callable[[float], bool]) -> None:
            while not any(map(_is_final, requests)) and not all(map(Future.done, requests)):
                pending = [request for request in requests if not request.done()]
                if not wait(pending, poll_seconds, FIRST_COMPLETED).done:
                    elapsed = self._client.deadline_after(0) - started
                    if is_over(elapsed):
                        return
                    on_wait(elapsed)

        try:
            await_response(lambda elapsed: elapsed >= _PAGE_SHARE * awaited_seconds())
            if not _is_final(page_request):
                fetch_api = partial(self._fetch_api, page, now, deadline, acquire_slot)
                requests.append(start_request(fetch_api))
                # Looking up the host's addresses has no deadline of its own.
                await_response(lambda elapsed: elapsed > max_seconds + 1)
        finally:
            if not all(map(Future.done, requests)):
                self._client.abort()
        return _best_listing(page, requests, on_layout_change)

    def _fetch_paper(
        self, page: Page, now: datetime, max_seconds: float, acquire_slot: Callable[[], None]
    ) -> FetchedListing:
        """Return the listing of a single paper: from the API, else from its page."""
        seconds = min(max_seconds / 2, _MAX_PAPER_SECONDS)
        deadline = self._client.deadline_after(seconds)
        path = api_path(page, now.date())
        try:
            result = self._client.get(path, deadline, acquire_slot=acquire_slot)
            listing = parse_api_response(result.body, result.url, requested=page, fetched_at=now)
            return _fetched(listing, result)
        except RequestNotSentError:
            raise
        except UpstreamError as error:
            api_error = error
        acquire_slot()
        try:
            deadline = self._client.deadline_after(seconds)
            return self._fetch_page(page, None, now, deadline, acquire_slot)
        except FetchError as error:
            # Either may be out of order; only both together say that there is no such paper.
            if error.is_not_found and api_error.is_not_found:
                reason, retry_after = "there is no such paper", _MISSING_PAPER_BACKOFF
                raise FetchError(error.url, reason, retry_after, is_not_found=True) from error
            raise (api_error if error.is_not_found else error) from error

    def _fetch_page(
        self,
        page: Page,
        stored: Listing | None,
        now: datetime,
        deadline: float,
        acquire_slot: Callable[[], None],
    ) -> FetchedListing:
        result = self._client.get(
            page_path(page), deadline, acquire_slot=acquire_slot, validators=_validators(stored)
        )
        with self._saving_unparsed(f"{page.kind}.html", result, now):
            fetched = _fetched(_parse(result, page, stored, now), result)
        if not fetched.is_complete:
            self._unparsed_pages.save(f"{page.kind}.html", result.body, now)
        return fetched

    def _fetch_api(
        self, page: Page, now: datetime, deadline: float, acquire_slot: Callable[[], None]
    ) -> FetchedListing:
        fetched, has_more = self._fetch_api_page(page, 0, now, deadline, acquire_slot)
        for number in range(1, _MAX_API_PAGES):
            if not has_more:
                break
            try:
                further, has_more = self._fetch_api_page(page, number, now, deadline, acquire_slot)
            except UpstreamError as error:
                log.warning("%s: page %d of the JSON API failed: %s", page, number + 1, error)
                break
            listing = _append(fetched.listing, further.listing)
            has_more = has_more and listing is not fetched.listing
            fetched = further._replace(listing=listing, url=fetched.url)
        return fetched

    def _fetch_api_page(
        self,
        page: Page,
        number: int,
        now: datetime,
        deadline: float,
        acquire_slot: Callable[[], None],
    ) -> tuple[FetchedListing, bool]:
        """Return one page of the API's list, and whether there may be a next one."""
        acquire_slot()
        path = api_path(page, now.date()) + (f"&p={number}" if number else "")
        result = self._client.get(path, deadline, acquire_slot=acquire_slot)
        with self._saving_unparsed(f"{page.kind}.json", result, now):
            listing = parse_api_response(result.body, result.url, requested=page, fetched_at=now)
        count = count_api_entries(result.body)
        has_next = count in _API_PAGE_SIZES if result.has_next is None else result.has_next
        # A page that has papers of other days too has the last ones of this day.
        is_last = count != len(listing.papers) + len(listing.skipped)
        has_more = page.kind in _PAGED_KINDS and has_next and not is_last
        return _fetched(listing, result), has_more

    @contextmanager
    def _saving_unparsed(self, name: str, result: FetchResult, now: datetime) -> Iterator[None]:
        """Save a body that cannot be parsed, for a bug report."""
        try:
            yield
        except Exception:
            self._unparsed_pages.save(name, result.body, now)
            raise


def start_request(fetch: Callable[[], T]) -> Future[T]:
    """Return the future of a call in a thread that does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(fetch())
        except BaseException as error:  # noqa: BLE001  # raised where the result is used
            future.set_exception(error)

    Thread(target=run, name="upstream-request", daemon=True).start()
    return future


def _is_final(request: Future[FetchedListing]) -> bool:
    """Return whether the result needs no other request: a complete listing, or a crash."""
    if not request.done():
        return False
    if error := request.exception():
        return not isinstance(error, UpstreamError)
    fetched = request.result()
    return fetched.is_complete or fetched.listing.parsed_from == "api"


def _best_listing(
    page: Page, requests: Sequence[Future[FetchedListing]], on_layout_change: Callable[[str], None]
) -> FetchedListing:
    """Return the listing of the page, else of the API, else what the page had.

    Without any, raise the page's error, which says more than the API's.
    """
    fetched, *of_api = (_outcome(request, page) for request in requests)
    if isinstance(fetched, FetchedListing) and fetched.is_complete:
        return fetched
    error = fetched if isinstance(fetched, UpstreamError) else _partial_error(fetched)
    if isinstance(error, ParseError) and not _has_page_data(fetched):
        on_layout_change(error.reason)
    (api,) = of_api
    retry_after = max(each.retry_after or 0.0 for each in (fetched, api))
    if isinstance(fetched, FetchedListing) and (
        isinstance(api, UpstreamError)
        or (_has_page_data(fetched) and len(fetched.listing.papers) >= len(api.listing.papers))
    ):
        return fetched._replace(retry_after=retry_after)
    if isinstance(api, FetchedListing):
        log.warning("%s: page failed, fetched from the JSON API instead: %s", page, error)
        return api._replace(retry_after=retry_after)
    if retry_after:
        raise FetchError(error.url, error.reason, retry_after) from api
    raise error from api


def _outcome(request: Future[FetchedListing], page: Page) -> FetchedListing | UpstreamError:
    """Return the result of the request or its error."""
    if not request.done():
        return FetchError(page_path(page), "timed out", timed_out=True)
    error = request.exception()
    if error is None:
        return request.result()
    if isinstance(error, UpstreamError):
        return error
    raise error


def _has_page_data(fetched: FetchedListing | UpstreamError) -> bool:
    return isinstance(fetched, FetchedListing) and fetched.listing.parsed_from == "data"


def _partial_error(fetched: FetchedListing) -> ParseError:
    """Return what is wrong with a page of which only a part could be parsed."""
    skipped = fetched.listing.skipped
    if not _has_page_data(fetched):
        return ParseError(fetched.url, "only its cards could be parsed")
    return ParseError(fetched.url, f"{len(skipped)} papers are invalid, {skipped[0]}")


def _validators(stored: Listing | None) -> Validators | None:
    """Return the validators of a listing that was read in full from its own page."""
    if stored is None or stored.parsed_from != "data" or not (stored.etag or stored.last_modified):
        return None
    return Validators(page_path(stored.page), stored.etag, stored.last_modified)


def _parse(result: FetchResult, page: Page, stored: Listing | None, now: datetime) -> Listing:
    if result.not_modified and stored is not None:
        return msgspec.structs.replace(stored, fetched_at=now, skipped=())
    listing = parse_page(result.body, result.url, requested=page, fetched_at=now)
    return msgspec.structs.replace(listing, etag=result.etag, last_modified=result.last_modified)


def _append(listing: Listing, further: Listing) -> Listing:
    """Return the listing with the new papers of its next page; the same listing without any."""
    ids = {paper.id for paper in listing.papers}
    papers = tuple(paper for paper in further.papers if paper.id not in ids)
    if further.page != listing.page or not papers:
        return listing
    return msgspec.structs.replace(
        listing, papers=(*listing.papers, *papers), skipped=(*listing.skipped, *further.skipped)
    )


def _fetched(listing: Listing, result: FetchResult) -> FetchedListing:
    return FetchedListing(listing, result.url, result.retry_after)
