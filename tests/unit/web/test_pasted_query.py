"""What people paste in place of a query."""

import pytest

from feedsrv.web.pasted_query import list_path, query_from_pasted

HF = "https://huggingface.co/papers"


@pytest.mark.parametrize(
    ("pasted", "query"),
    [
        # addresses of lists and feeds
        (f"{HF}?q=tidal+moons", "tidal moons"),
        (f"{HF}?date=2026-11-24&q=tidal%20moons#top", "tidal moons"),
        (f"{HF}/trending?q=%22tidal+moons%22", '"tidal moons"'),
        ("http://www.huggingface.co/papers/?q=moon", "moon"),
        ("https://feeds.example.org/papers.atom?q=moon&limit=9", "moon"),
        ("https://example.org/feedsrv/papers/week.rss?q=moon", "moon"),
        # organizations and people
        ("https://huggingface.co/harbour-lab", "org:harbour-lab OR author:@harbour-lab"),
        ("https://hf.co/ada?tab=papers", "org:ada OR author:@ada"),
        ("https://huggingface.co/organizations/Lab/activity/papers", "org:Lab OR author:@Lab"),
        ("http://www.huggingface.co/Lab/papers/", "org:Lab OR author:@Lab"),
        # citations
        ("arXiv 2611.00001", "2611.00001"),
        ("arXiv: 2611.00001v2", "2611.00001v2"),
        ("arXiv:2611.00001v2 [cs.CL]", "arXiv:2611.00001v2"),
        ("2611.00001 [astro-ph.EP] Moons", "2611.00001 Moons"),
        # BibTeX
        ("title={Tidal {M}oons of {LLM}s},", "Tidal Moons of LLMs"),
        ("title = {{Tidal Moons}},", "Tidal Moons"),
        ('title = "Tidal moons",', "Tidal moons"),
        ("eprint = {2611.00001},", "2611.00001"),
        ("Schr{\\\"o}dinger's {C}at", "Schrödinger's Cat"),
        ('na\\"ive Erd\\H{o}s moons', "naïve Erdős moons"),
        ("50\\% of R\\&D", "50% of R&D"),
        ("\\textbf{Tidal} \\emph{moons}", "Tidal moons"),
        ("$\\pi_0$ and tides", "π₀ and tides"),
        # lines of lists
        ("1. Tidal moons", "Tidal moons"),
        ("12) Tidal moons", "Tidal moons"),
        ("(3) Tidal moons", "Tidal moons"),
        ("[4] Tidal moons", "Tidal moons"),
    ],
)
def test_the_query_is_what_was_meant(pasted: str, query: str) -> None:
    assert query_from_pasted(pasted) == query


@pytest.mark.parametrize(
    "query",
    [
        *("moon", "(1) OR (2)", "3D moons", "2.5 moons", "[moon]", "title:moon", "a = b", "1."),
        *("arXiv moons", "https://example.org/papersonly?q=moon", HF, f"{HF}/2611.00001"),
        *("$\\frac{a}{b}$ moons", "", "https://huggingface.co/Lab/moon-7B"),
        *("https://huggingface.co/datasets", "https://huggingface.co/blog/moon"),
        *("http://[moon/papers?q=tides", "http://\u2100/papers?q=tides"),
    ],
)
def test_any_other_text_is_the_query_itself(query: str) -> None:
    assert query_from_pasted(query) == query


@pytest.mark.parametrize(
    ("pasted", "path"),
    [
        (HF, "/papers"),
        (f"{HF}/?utm_source=mail", "/papers"),
        (f"{HF}/trending", "/papers/trending"),
        ("http://www.huggingface.co/papers/date/2026-11-24/", "/papers/date/2026-11-24"),
        ("https://hf.co/papers/week/2026-W48#top", "/papers/week/2026-W48"),
        (f"{HF}/month/2026-11", "/papers/month/2026-11"),
        (f"{HF}?date=2026-11-24", "/papers/date/2026-11-24"),
        (f"{HF}/2611.00001", ""),
        (f"{HF}/date/../../status", ""),
        (f"{HF}?date=//example.org", ""),
        ("https://example.org/papers/trending", ""),
        ("https://huggingface.co/Lab/papers", ""),
        ("moon", ""),
    ],
)
def test_the_address_of_a_list_has_the_same_path_here(pasted: str, path: str) -> None:
    assert list_path(pasted) == path
