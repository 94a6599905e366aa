"""Write ``feedsrv/search/word_families.txt``, from WordNet 3.0 and the words of many papers.

    apt-get install wordnet-base
    python scripts/build_word_families.py PAPERS [--wordnet DIRECTORY] [--reasons FILE]

PAPERS is a text file, gzipped or not, with one paper per line. Only the set of words on each line
counts, so a line may be an abstract, or its words in any order. ``--reasons`` writes each pair of
words that was judged, with the figures; review it before you commit a new table.

WordNet 3.0 is the directory ``/usr/share/wordnet`` of Debian's package ``wordnet-base``. Its
licence is ``feedsrv/search/word_families.LICENSE.txt``.

The same input gives the same table, byte for byte: there is no randomness, and nothing depends on
the order of sets. The committed table was built from the words of 9,877 titles and abstracts of
Hugging Face Daily Papers. These are not in the repository, because the abstracts are their authors'
texts; papers of other years give a slightly different table. A build takes about 15 seconds.
``tests/unit/search`` checks a table: what it must relate, what it must not, and its size.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from feedsrv.search.stemmer import stem, strip_inflection
from feedsrv.search.word_families import look_up_base_forms
from word_lemmas import PREPOSITIONS, Lemmas
from word_relations import Relations
from word_sources import PARTS_OF_SPEECH, Papers, WordNet

TABLE = Path(__file__).parent.parent / "feedsrv" / "search" / "word_families.txt"
_HEADER = """\
# Families of English words, written by scripts/build_word_families.py. Do not edit.
# Derived from WordNet 3.0, Copyright 2006 by Princeton University: word_families.LICENSE.txt.
# "base = form ...": forms, or stems of forms, for which the rules of stemmer.py give another base.
# "base base ...": base forms that are related. Their forms find each other.
"""
_VERBAL = ("ed", "ing")
#: Endings of words that are likely in future papers, even if no paper and no annotated text has the
#: word. Other unused words are left out: WordNet is full of *wasters*, *tallness* and *ratlike*.
_LIKELY = ("al", "ance", "cy", "ence", "ic", "ion", "ity", "ment", "ous", "sis")


class Table:
    """Base forms of lemmas, forms that the rules get wrong, and groups of related base forms.

    Args:
        net: The dictionary.
        lemmas: The lemmas of each form.
        relations: Which lemmas are related.

    """

    def __init__(self, net: WordNet, lemmas: Lemmas, relations: Relations) -> None:
        self._net, self._lemmas, self._relations = net, lemmas, relations
        #: Adverb to its adjective. The adverb is a form of the adjective.
        self._adjectives = relations.adverbs()
        #: Lemma to its base form: its stem, unless that is the stem of another lemma.
        self.bases = dict(self._assign_bases())
        for adverb, adjective in self._adjectives.items():
            self.bases[adverb] = self.bases[adjective]
        #: Form, or stem of several forms, to the base forms that the rules do not give.
        self.exceptions: dict[str, frozenset[str]] = {}
        self._find_exceptions()
        self.groups = sorted(self._group())

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        forms: dict[str, list[str]] = defaultdict(list)
        for form, bases in sorted(self.exceptions.items()):
            for base in bases:
                forms[base].append(form)
        for base in sorted(forms):
            yield f"{base} = {' '.join(forms[base])}"
        for group in self.groups:
            yield " ".join(group)

    def _assign_bases(self) -> Iterator[tuple[str, str]]:
        by_stem: dict[str, list[str]] = defaultdict(list)
        for lemma in sorted(self._lemmas.all() - self._adjectives.keys()):
            by_stem[stem(lemma)].append(lemma)
        for shared, lemmas in by_stem.items():
            parts = sorted(
                self._related_parts(lemmas),
                key=lambda part: self._claim(part, shared),
                reverse=True,
            )
            for number, part in enumerate(parts):
                base = (
                    max(part, key=lambda lemma: (self._count(lemma), -len(lemma), lemma))
                    if number
                    else shared
                )
                for lemma in part:
                    yield lemma, base

    def _related_parts(self, lemmas: Iterable[str]) -> list[list[str]]:
        """Return lemmas with one stem in parts that are unrelated to each other."""
        parts: list[list[str]] = []
        for lemma in lemmas:
            near = [part for part in parts if any(self._share_base(lemma, other) for other in part)]
            parts = [part for part in parts if part not in near]
            parts.append([lemma, *(other for part in near for other in part)])
        return parts

    def _claim(self, part: list[str], shared: str) -> tuple[bool, int, int]:
        """Return a sort key: the part with the greatest one gets the stem as its base form."""
        return shared in part, sum(map(self._count, part)), sum(map(self._uses, part))

    def _count(self, lemma: str) -> int:
        return self._lemmas.papers_with(lemma).bit_count()

    def _share_base(self, word: str, other: str) -> bool:
        """Return whether two lemmas with one stem are forms of one word."""
        if self._relations.are_accepted(word, other):
            return True
        if strip_inflection(word) == strip_inflection(other):
            return self._is_inflected(word, other)
        if stem(word).endswith(("iz", "if")):
            return True
        is_listed = self._net.parts_of_speech.keys()
        if any(lemma.endswith("ly") and lemma in is_listed for lemma in (word, other)):
            return False  # *apply* is not an adverb of *app*; real adverbs are not compared here
        return not self._relations.are_rejected(word, other)

    def _is_inflected(self, word: str, other: str) -> bool:
        """Return whether one of two lemmas is only the other with -ed or -ing."""
        form, lemma = (word, other) if word.endswith(_VERBAL) else (other, word)
        if not form.endswith(_VERBAL) or form in PREPOSITIONS:
            return False
        if lemma.endswith(_VERBAL):
            return not {form, lemma} <= self._net.parts_of_speech.keys()
        evidence = self._relations.evidence(form, lemma)
        if evidence.expected >= 3:
            return evidence.lift >= 0.8
        is_own = form in self._net.parts_of_speech
        return not is_own or self._lemmas.defines(lemma, form) or evidence.counts[2] > 0

    def _find_exceptions(self) -> None:
        by_stem: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
        for form, lemmas in sorted(self._lemmas.of.items()):
            by_stem[stem(form)][form] = frozenset(self.bases[lemma] for lemma in lemmas)
        for shared, wanted in by_stem.items():
            ruled = frozenset([shared])
            if ruled not in wanted.values():
                # One entry for the stem covers all its forms: colour, colours, coloured.
                counts = Counter(wanted.values())
                self.exceptions[shared] = max(
                    counts, key=lambda bases: (counts[bases], sorted(bases))
                )
        changed = True
        while changed:  # an exception also applies to the word with a prefix
            changed = False
            for wanted in by_stem.values():
                for form, bases in wanted.items():
                    if frozenset(look_up_base_forms(form, self.exceptions)) != bases:
                        self.exceptions[form] = bases
                        changed = True

    def _group(self) -> Iterator[tuple[str, ...]]:
        """Yield groups of base forms such that any two related ones are in one group."""
        near = self._related_bases()
        left = {(base, other) for base, others in near.items() for other in others if base < other}
        for base, other in sorted(left):
            if (base, other) not in left:
                continue
            group = {base, other}
            for third in sorted(
                near[base] & near[other], key=lambda third: (-len(near[third]), third)
            ):
                if group <= near[third]:
                    group.add(third)
            left -= {(one, two) for one in group for two in group}
            yield tuple(sorted(group))

    def _related_bases(self) -> dict[str, set[str]]:
        near: dict[str, set[str]] = defaultdict(set)
        for pair in filter(self._is_worth_listing, self._relations.accepted):
            for base, other in product(*map(self._bases_of, pair)):
                if base != other:
                    near[base].add(other)
                    near[other].add(base)
        return near

    def _is_worth_listing(self, pair: tuple[str, str]) -> bool:
        dead = [lemma for lemma in pair if not self._is_alive(lemma)]
        return len(dead) < len(pair) and all(lemma.endswith(_LIKELY) for lemma in dead)

    def _is_alive(self, lemma: str) -> bool:
        """Return whether a paper or an annotated text has the word."""
        return self._count(lemma) > 0 or self._uses(lemma) > 0

    def _uses(self, lemma: str) -> int:
        return sum(self._net.uses[lemma, pos] for pos in PARTS_OF_SPEECH)

    def _bases_of(self, lemma: str) -> Iterable[str]:
        if lemma in self.bases:
            return [self.bases[lemma]]
        return look_up_base_forms(lemma, self.exceptions)


def main() -> None:
    """Build the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("papers", type=Path)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--reasons", type=Path)
    arguments = parser.parse_args()
    net, papers = WordNet(arguments.wordnet), Papers(arguments.papers)
    lemmas = Lemmas(net, papers)
    relations = Relations(net, papers, lemmas)
    table = Table(net, lemmas, relations)
    TABLE.write_text(_HEADER + "".join(f"{line}\n" for line in table.lines()), "ascii")
    if arguments.reasons:
        judged = [("yes", relations.accepted), ("no", relations.rejected)]
        lines = (
            f"{word} {other}: {verdict}, {reason}\n"
            for verdict, pairs in judged
            for (word, other), reason in sorted(pairs.items())
        )
        arguments.reasons.write_text("".join(lines))


if __name__ == "__main__":
    main()
