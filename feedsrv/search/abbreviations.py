"""Find abbreviations that papers define: *large language model (LLM)*.

The algorithm is that of Schwartz and Hearst (2003), "A simple algorithm for identifying
abbreviation definitions in biomedical text".
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from feedsrv.search.analysis import tokenize

#: A short form in parentheses: 2 to 10 letters, digits and hyphens, perhaps a plural s.
_IN_PARENTHESES = re.compile(r"\(([A-Za-z][A-Za-z0-9-]{1,9}?)s?\)")
_WORDS = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
#: What a long form does not extend across.
_CLAUSE_END = re.compile(r"[.;:!?()\[\]]")


def find_definitions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the abbreviations that a text defines, each with its long form."""
    for found in _IN_PARENTHESES.finditer(text):
        short = found[1]
        if sum(char.isupper() for char in short) < len(short) / 2:
            continue  # a word, not an abbreviation
        clause = _CLAUSE_END.split(text[: found.start()])[-1]
        words = _WORDS.findall(clause)
        # Schwartz and Hearst: at most this many words belong to the long form.
        candidate = " ".join(words[-min(len(short) + 5, len(short) * 2) :])
        long_form = _best_long_form(short, candidate)
        if long_form:
            yield short, long_form


def _best_long_form(short: str, candidate: str) -> str:
    """Return the shortest end of the candidate that has the short form's letters in order.

    The first letter must start a word. Empty where there is none.
    """
    letters = [char for char in short.lower() if char.isalnum()]
    text = candidate.lower()
    position = len(text)
    for number in range(len(letters) - 1, -1, -1):
        position -= 1
        while position >= 0 and not (
            text[position] == letters[number]
            and (number > 0 or position == 0 or not text[position - 1].isalnum())
        ):
            position -= 1
        if position < 0:
            return ""
    long_form = candidate[position:]
    has_several_words = len(re.split(r"[\s-]+", long_form)) > 1
    return long_form if has_several_words and len(long_form) > len(short) else ""


def collect_long_forms(texts: Iterable[str]) -> Mapping[str, Counter[str]]:
    """Return how many of the texts define each long form, by abbreviation, in folded words."""
    long_forms: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for short, long_form in set(find_definitions(text)):
            long_forms[" ".join(tokenize(short))][long_form.lower()] += 1
    return long_forms
