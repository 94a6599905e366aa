"""Merge a listing that was just fetched with what is stored."""

from collections.abc import Callable, Iterable
from datetime import date

import msgspec

from feedsrv.models import Kind, Listing, Paper


def merge_refresh(stored: Listing | None, fresh: Listing) -> Listing:
    """Return the listing to store after ``fresh`` was fetched to replace ``stored``.

    A paper whose title or abstract changed is marked as revised at the time of the fetch. A day's
    list only grows: it is partial early in the day, and a list shorter than the stored one is a
    fault, so both are united. A fuller source wins: cards hold less than data.
    """
    if stored is None or stored.page != fresh.page:  # that of another page, in its place
        return fresh
    before = {paper.id: paper for paper in stored.papers}
    papers = [_merge_paper(before.get(paper.id), paper, fresh) for paper in fresh.papers]
    if fresh.page.kind is Kind.DAY:
        fresh_ids = {paper.id for paper in papers}
        papers += [paper for paper in stored.papers if paper.id not in fresh_ids]
    return msgspec.structs.replace(
        fresh,
        papers=tuple(papers),
        previous_day=fresh.previous_day or stored.previous_day,
        next_day=fresh.next_day or stored.next_day,
        first_fetched_at=stored.first_fetched_at,
    )


def keep_list_days(
    fresh: Listing, others: Iterable[Listing], may_be_served: Callable[[Listing], bool]
) -> Listing:
    """Return the listing with the dates of papers that are in other days' listings too.

    A paper on two list days has the date of the first. But a later date that may have been served
    never moves, though the first day is read after it.
    """
    ids = {paper.id for paper in fresh.papers}
    known = {
        paper.id: (paper.listed, other)
        for other in others
        if other.page != fresh.page
        for paper in other.papers
        if paper.id in ids and paper.listed is not None
    }
    if not known:  # nearly always: each page that is fetched is compared with every list day
        return fresh

    def list_day(paper: Paper) -> date | None:
        if paper.id not in known:
            return paper.listed
        listed, other = known[paper.id]
        is_later = paper.listed is not None and paper.listed < listed
        return paper.listed if is_later and not may_be_served(other) else listed

    papers = tuple(
        paper
        if (listed := list_day(paper)) == paper.listed
        else msgspec.structs.replace(paper, listed=listed)
        for paper in fresh.papers
    )
    return fresh if papers == fresh.papers else msgspec.structs.replace(fresh, papers=papers)


def _merge_paper(stored: Paper | None, fresh: Paper, listing: Listing) -> Paper:
    if stored is None:
        return fresh
    if listing.parsed_from == "cards":
        # Cards shorten abstracts and omit authors; only their counters are news.
        return msgspec.structs.replace(
            stored,
            upvotes=fresh.upvotes,
            comments=fresh.comments or stored.comments,
            stars=fresh.stars or stored.stars,
        )
    if stored.listed:
        # The first list day stays the paper's date: `published` never moves.
        fresh = msgspec.structs.replace(fresh, listed=stored.listed)
    if (stored.title, stored.abstract) == (fresh.title, fresh.abstract):
        return msgspec.structs.replace(fresh, revised=stored.revised)
    if not stored.abstract or not stored.authors:
        # The stored copy came from cards: a fuller source is no revision.
        return fresh
    return msgspec.structs.replace(fresh, revised=listing.fetched_at)
