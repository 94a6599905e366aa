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
from dataclasses import dataclass
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


@dataclass(kw_only=True, eq=False)
class ListingFetcher:
    """Fetches the listing of one page, and saves responses that cannot be parsed."""

    client: UpstreamClient
    unparsed_pages: UnparsedPages
    page: Page
    #: The page's stored listing, for a conditional request.
    stored: Listing | None
    #: The current time (UTC).
    now: datetime
    #: How long upstream may take.
    max_seconds: float
    #: Returns for how many seconds a reader waits.
    awaited_seconds: Callable[[], float]
    #: Called before the API is asked and before a redirect is followed. It may wait or raise.
    acquire_slot: Callable[[], None]
    #: Called now and then with the seconds that upstream has taken. It may raise.
    on_wait: Callable[[float], None]
    #: Called with the reason if the page has no complete data.
    on_layout_change: Callable[[str], None]

    def fetch(self) -> FetchedListing:
        """Return the listing.

        Raises:
            UpstreamError: There is none.
        """
        if self.page.kind is Kind.PAPER:
            return self._fetch_paper()
        started = self.client.deadline_after(0)
        deadline = started + self.max_seconds
        page_request = start_request(partial(self._fetch_page, deadline, self.stored))
        requests = [page_request]
        poll_seconds = min(self.max_seconds / _POLLS, _MAX_POLL_SECONDS)

        def await_response(is_over: Callable[[float], bool]) -> None:
            while not any(map(_is_final, requests)) and not all(map(Future.done, requests)):
                pending = [request for request in requests if not request.done()]
                if not wait(pending, poll_seconds, FIRST_COMPLETED).done:
                    elapsed = self.client.deadline_after(0) - started
                    if is_over(elapsed):
                        return
                    self.on_wait(elapsed)

        try:
            await_response(lambda elapsed: elapsed >= _PAGE_SHARE * self.awaited_seconds())
            if not _is_final(page_request):
                requests.append(start_request(partial(self._fetch_api, deadline)))
                # Looking up the host's addresses has no deadline of its own.
                await_response(lambda elapsed: elapsed > self.max_seconds + 1)
        finally:
            if not all(map(Future.done, requests)):
                self.client.abort()
        return self._best_listing(requests)

    def _fetch_paper(self) -> FetchedListing:
        """Return the listing of a single paper: from the API, else from its page."""
        seconds = min(self.max_seconds / 2, _MAX_PAPER_SECONDS)
        try:
            result = self._get_api_page(self.client.deadline_after(seconds))
            return _fetched(self._parse_api_page(result), result)
        except RequestNotSentError:
            raise
        except UpstreamError as error:
            api_error = error
        self.acquire_slot()
        try:
            return self._fetch_page(self.client.deadline_after(seconds), None)
        except FetchError as error:
            # Either may be out of order; only both together say that there is no such paper.
            if error.is_not_found and api_error.is_not_found:
                reason, retry_after = "there is no such paper", _MISSING_PAPER_BACKOFF
                raise FetchError(error.url, reason, retry_after, is_not_found=True) from error
            raise (api_error if error.is_not_found else error) from error

    def _fetch_page(self, deadline: float, stored: Listing | None) -> FetchedListing:
        result = self.client.get(
            page_path(self.page),
            deadline,
            acquire_slot=self.acquire_slot,
            validators=_validators(stored),
        )
        with self._saving_unparsed("html", result):
            fetched = _fetched(self._parse_page(result, stored), result)
        if not fetched.is_complete:
            self._save_unparsed("html", result)
        return fetched

    def _parse_page(self, result: FetchResult, stored: Listing | None) -> Listing:
        if result.not_modified and stored is not None:
            return msgspec.structs.replace(stored, fetched_at=self.now, skipped=())
        listing = parse_page(
            result.body, result.url, requested=self.page, fetched_at=self.now, stored=self.stored
        )
        return msgspec.structs.replace(
            listing, etag=result.etag, last_modified=result.last_modified
        )

    def _fetch_api(self, deadline: float) -> FetchedListing:
        fetched, has_more = self._fetch_api_page(0, deadline)
        for number in range(1, _MAX_API_PAGES):
            if not has_more:
                break
            try:
                further, has_more = self._fetch_api_page(number, deadline)
            except UpstreamError as error:
                log.warning("%s: page %d of the JSON API failed: %s", self.page, number + 1, error)
                break
            listing = _append(fetched.listing, further.listing)
            has_more = has_more and listing is not fetched.listing
            fetched = further._replace(listing=listing, url=fetched.url)
        return fetched

    def _fetch_api_page(self, number: int, deadline: float) -> tuple[FetchedListing, bool]:
        """Return one page of the API's list, and whether there may be a next one."""
        self.acquire_slot()
        result = self._get_api_page(deadline, f"&p={number}" if number else "")
        with self._saving_unparsed("json", result):
            listing = self._parse_api_page(result)
        count = count_api_entries(result.body)
        has_next = count in _API_PAGE_SIZES if result.has_next is None else result.has_next
        # A page that has papers of other days too has the last ones of this day.
        is_last = count != len(listing.papers) + len(listing.skipped)
        has_more = self.page.kind in _PAGED_KINDS and has_next and not is_last
        return _fetched(listing, result), has_more

    def _get_api_page(self, deadline: float, page_number: str = "") -> FetchResult:
        path = api_path(self.page, self.now.date()) + page_number
        return self.client.get(path, deadline, acquire_slot=self.acquire_slot)

    def _parse_api_page(self, result: FetchResult) -> Listing:
        return parse_api_response(
            result.body, result.url, requested=self.page, fetched_at=self.now, stored=self.stored
        )

    def _best_listing(self, requests: Sequence[Future[FetchedListing]]) -> FetchedListing:
        """Return the listing of the page, else of the API, else what the page had.

        Without any, raise the page's error, which says more than the API's.
        """
        fetched, *of_api = (_outcome(request, self.page) for request in requests)
        if isinstance(fetched, FetchedListing) and fetched.is_complete:
            return fetched
        error = fetched if isinstance(fetched, UpstreamError) else _partial_error(fetched)
        if isinstance(error, ParseError) and not _has_page_data(fetched):
            self.on_layout_change(error.reason)
        (api,) = of_api
        retry_after = max(each.retry_after or 0.0 for each in (fetched, api))
        if isinstance(fetched, FetchedListing) and (
            isinstance(api, UpstreamError)
            or (_has_page_data(fetched) and len(fetched.listing.papers) >= len(api.listing.papers))
        ):
            return fetched._replace(retry_after=retry_after)
        if isinstance(api, FetchedListing):
            log.warning("%s: page failed, fetched from the JSON API instead: %s", self.page, error)
            return api._replace(retry_after=retry_after)
        if retry_after:
            raise FetchError(error.url, error.reason, retry_after) from api
        raise error from api

    @contextmanager
    def _saving_unparsed(self, extension: str, result: FetchResult) -> Iterator[None]:
        """Save a body that cannot be parsed, for a bug report."""
        try:
            yield
        except Exception:
            self._save_unparsed(extension, result)
            raise

    def _save_unparsed(self, extension: str, result: FetchResult) -> None:
        self.unparsed_pages.save(f"{self.page.kind}.{extension}", result.body, self.now)


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
