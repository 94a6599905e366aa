"""Each paper once: from the copies in several listings, and in several feeds."""

from collections.abc import Iterable, Sequence

import msgspec

from feedsrv.models import Feed, Listing, Match, Paper


def unite_listings(listings: tuple[Listing, ...]) -> tuple[Paper, ...]:
    """Return every paper of the listings once, newest first by (published, id).

    Of several copies, the first wins unless another has more details; it gets the earliest day.
    """
    best: dict[str, Paper] = {}
    for listing in listings:
        for paper in listing.papers:
            best[paper.id] = better_copy(best.get(paper.id, paper), paper)
    return newest_first(best.values())


def better_copy(paper: Paper, other: Paper | None) -> Paper:
    """Return the better of two copies of a paper, with the earlier of their list days.

    The better one is the first, unless the other has more details. Listings come the newest day
    first, so that a paper on two days has the facts of the later one.
    """
    if other is None or other is paper:  # nearly always
        return paper
    better = other if _detail_rank(other) < _detail_rank(paper) else paper
    days = [each.listed for each in (paper, other) if each.listed is not None]
    if not days or better.listed == min(days):
        return better
    return msgspec.structs.replace(better, listed=min(days))


def merge_feeds(selections: Sequence[tuple[Feed, Sequence[Paper]]]) -> tuple[Match, ...]:
    """Return every paper of several feeds once, with all feeds that have it, newest first.

    The selections are each feed with its papers, newest first.
    """
    if len(selections) == 1:
        feed, papers = selections[0]
        return tuple(Match(paper, (feed,)) for paper in papers)
    best: dict[str, Paper] = {}
    feeds: dict[str, tuple[Feed, ...]] = {}
    for feed, papers in selections:
        for paper in papers:
            other = best.get(paper.id)
            best[paper.id] = paper if other is None else _earlier_match(other, paper)
            feeds[paper.id] = (*feeds.get(paper.id, ()), feed)
    return tuple(Match(paper, feeds[paper.id]) for paper in newest_first(best.values()))


def _earlier_match(paper: Paper, other: Paper) -> Paper:
    """Return the better of two copies from different feeds, with the earlier of their dates."""
    better = better_copy(paper, other)
    earlier = min(paper, other, key=lambda each: each.published)
    if better.matched_at == earlier.matched_at:
        return better
    return msgspec.structs.replace(better, matched_at=earlier.matched_at)


def newest_first(papers: Iterable[Paper]) -> tuple[Paper, ...]:
    """Return the papers sorted by (published, id), the newest first."""
    return tuple(sorted(papers, key=lambda paper: (paper.published, paper.id), reverse=True))


def _detail_rank(paper: Paper) -> tuple[bool, bool]:
    return (not paper.abstract, paper.listed is None)
