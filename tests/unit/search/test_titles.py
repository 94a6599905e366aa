"""A paper's title is a query that matches the paper, with any punctuation.

Two kinds of titles cannot be told from a query that means something else: one that begins with the
name of a field (``Author: ...``), and one with a negative number (``-3.2`` excludes 3.2).
"""

import pytest

from feedsrv.search.index import Index
from feedsrv.search.parser import URL_LIMITS, parse_query
from tests.support.strategies import make_paper

TITLES = [
    # Colons
    "FERRY: Preserving Fog in Harbour Maps",
    "Tides: A Survey of Surveys",
    "KITE:Learning Without a String",
    "Lantern-2: Faster, Smaller, Brighter",
    "Moss 3.5: Small Models for Large Gardens",
    "From Rain to River: Step-by-Step: A Recipe",
    "Title: The Problem of Naming Papers",
    "Stars: A Catalogue of Bright Benchmarks",
    "Comments: Are All We Read",
    "Upvotes: Do Crowds Find Good Papers?",
    "Has: It Ended? Detecting the Last Frame",
    "Foo: Bar",
    "1:1 Matching of Orchards",
    "A 10:30 Problem: Clocks in Vision",
    "Ratio 3:2:1 Mixtures for Cement Models",
    # Quotation marks
    '"Are We There Yet?" Asking Robots on the Road',
    'Why "More" Is Not "Better"',
    "\u201cShow Me the Harbour\u201d: Grounded Maps",
    "\u2018Quiet\u2019 Tides and \u201cLoud\u201d Storms",
    "\u00abPomme\u00bb: French Orchards for Agents",
    "\u201eBirne\u201c: Pears in Dialogue",
    "``Free'' Lunches in Ferry Routing",
    "New Claim or Old? \"Spotless'' Evaluation of Laundry Robots",
    "The Kite's String: What Holds It?",
    "Robots' Dreams and the '90s",
    "Don't Stop the Ferry, Won't Stop the Fog",
    "Rock'n'Roll Rhythms for Walkers",
    "\u300eHarbour\u300f in \u300cFog\u300d",
    "5'' Displays for Small Kites",
    # Dashes and hyphens
    "Fog \u2014 a Survey",
    "Fog\u2014Not Mist",
    "Ferries \u2013 Then and Now",
    "Ferries - Then and Now",
    "Ferries -- Then and Now",
    "Ferries --- Then and Now",
    "Rain\u2010Fed Memory",
    "Non\u2011Linear Orchards",
    "Pages 3\u201314 Are All You Read",
    "Text-to-Kite and Kite-to-Text",
    "State-of-the-Art-Free Evaluation",
    "Multi-Modal, Multi Modal, Multimodal",
    "Pre- and Post-Harvest Training",
    "Long- vs. Short-Tail Kites",
    "Rain -> Cloud: Inverting Weather",
    "Rain \u2192 Cloud \u2192 Rain",
    "Tide <-> Moon Alignment",
    "Minus \u22121 Degrees",
    # TeX and symbols
    "$\\pi_0$: A Policy for Oars",
    "$\\pi_{0.5}$ Sails Farther",
    "\u03c0\u2080-Slow: Patient Policies",
    "$\\mathcal{O}(n \\log n)$ Ferries",
    "$\\beta$-Orchards and \u03b2-Gardens",
    "L$^2$-Norms of Laundry",
    "$\\ell_1$ Harbours",
    "$\\varepsilon$-Greedy Gulls",
    "A $\\textbf{Bold}$ Approach",
    "KITE$^{3}$: Cubed Kites",
    "H$_2$O Models for Wells",
    "CO\u2082 Counting with H2O",
    "VISTA\u00b2: Two Views",
    "10$\\times$ Faster Boats",
    "2.5\u00d7 Cheaper Sails",
    "\u2200 Boats \u2203 a Harbour",
    "x\u2208X: Members Only",
    "Tides \u2248 Clocks?",
    "50% Fewer Oars, 100% More Kites",
    "\u00b15 Degrees of Freedom",
    "f(x) = kx: Springs for Machines",
    # Punctuation
    "*Kite* and **Lantern**",
    "A* Is Born: Searching Orchards",
    "Q*-Guided Gulls",
    "Why Not?",
    "What? How?! Why?!?",
    "All You Need Is Fog!",
    "Stop!! Look!! Listen!!",
    "Wait... What... Now?",
    "Thinking\u2026 Slowly",
    "[Re] Reproducing the Ferry Study",
    "{Curly} Kites",
    "<think> Twice, Row Once </think>",
    "Gardens & Orchards",
    "Gardens&Orchards; Ponds, Wells",
    "And/Or Trees in Forestry",
    "On / Off Switching",
    "Kites @ Scale",
    "#Fog: Hashing Weather",
    "C++ for Gulls, C# for Terns",
    "snake_case and __init__ in Robot Code",
    "Boats ~ Harbours",
    "100k+ Kites",
    "Price of Fog: $5 or \u20ac4",
    "U.S. Ferries vs. U.K. Ferries",
    "e.g., i.e., and etc. in Lantern Prose",
    "Node.js Agents at v1.2.3",
    "https://kite.example/a?b=c: A Website",
    "Ponds | Wells",
    "\u2022 Bullets \u00b7 Dots",
    "2601.12345: A Paper on a Paper",
    # Parentheses
    "Learning (Almost) Nothing",
    "(Un)certain Tides",
    "Boat(s) and Kite(s)",
    "Large Orchard Models (LOMs): (Re)views",
    "((Nested) Kites)",
    "Gulls (2026)",
    "Wells (or Ponds) and Rain",
    "Fog: (1) Where, (2) When, and (3) Why",
    # Capitals and small words
    "Or Else: Threats to Ferries",
    "Not All Oars Are Equal",
    "And Then There Was Fog",
    "To Row or Not to Row and Why",
    "kites in lowercase",
    "KITES IN UPPERCASE",
    "iBoat, eKite and mPond",
    "A",
    "3D",
    "Is It the Same as It Was?",
    # Full width, other scripts, emoji
    "\uff08Robots\uff09\uff1aFerries at Full Width",
    "\uff26\uff2f\uff27 \uff1d Mist\uff1f",
    "\u3010Lanterns\u3011 in Brackets",
    "Kites\u3000with\u3000Wide\u3000Spaces",
    "\u6e2f\u306e\u9727\uff1aHarbour Fog",
    "\u96fe\u4e2d\u7684\u6e21\u8f6e",
    "T\u00fcrk\u00e7e \u0130\u00e7in Kay\u0131klar",
    "Na\u00efve Gulls and Jalape\u00f1o Terns",
    "nai\u0308ve decomposed accents",
    "Stra\u00dfe, \u00c5ngstr\u00f6m, \u0141\u00f3d\u017a",
    "\u041b\u043e\u0434\u043a\u0430 and \u03a0\u03bb\u03bf\u03af\u03bf",
    "\u0642\u0627\u0631\u0628: Boats",
    "\U0001f426 Gull: Emoji First",
    "Kites \U0001fa81 Fly \U0001f680\U0001f680",
    "I \u2764\ufe0f Ferries",
    "\ufb01ne-tuned \ufb02ags",
    "Kites\u00a0and\u2009Thin\u202fSpaces",
    "Soft\u00adhyphenated Oars",
    "Zero\u200bWidth Wells",
]
PAPERS = {title: make_paper(title, id=f"2601.{number:05}") for number, title in enumerate(TITLES)}
INDEX = Index(list(PAPERS.values()))


def test_the_titles_are_many_and_differ() -> None:
    assert len(PAPERS) == len(TITLES) >= 100


@pytest.mark.parametrize("title", TITLES, ids=ascii)
def test_a_title_is_a_query_that_finds_its_paper(title: str) -> None:
    assert PAPERS[title] in INDEX.search(parse_query(title, URL_LIMITS))


def test_most_titles_find_no_other_paper() -> None:
    alone = [title for title in TITLES if len(INDEX.search(parse_query(title, URL_LIMITS))) == 1]
    assert len(alone) > 0.9 * len(TITLES)
