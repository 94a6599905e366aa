"""Which lemmas are related: those that WordNet links and that papers use together.

A dictionary knows that *transformer* is derived from *transform*, but not that papers use them for
different things. Papers show it: words with the same meaning occur in the same paper far more often
than by chance (Xu & Croft, "Corpus-based stemming using cooccurrence of word variants", 1998).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Literal, NamedTuple, cast

from word_lemmas import CLOSED_CLASS, Lemmas
from word_sources import Link, Papers, PartOfSpeech, WordNet

Pair = tuple[str, str]
#: A link of WordNet; a synonym's link; a regular pair of endings; two words linked with one verb.
Source = Literal["link", "near", "rule", "hop"]
#: Part of speech of the first and of the second word of a sorted pair, and why they were compared.
Candidate = tuple[PartOfSpeech, PartOfSpeech, Source]

#: Minimum ratio of the papers that have both words to the number expected by chance.
_NEEDED_LIFT = {
    "adverb": 0.5,
    "noun in -ness": 0.8,
    "action": 0.85,
    "able": 1.3,
    "quality": 1.5,
    "adjective of verb": 1.9,
    "adjective of noun": 2.0,
    "agent": 2.5,
    "other adverb": 3.0,
    "-ize of noun": 3.5,
    "same part of speech": 3.5,
    "-ize of adjective": math.inf,
}
#: Kinds that are accepted without evidence, if too few papers have the words.
_TRUSTED = frozenset(_NEEDED_LIFT) - {
    "other adverb",
    "-ize of noun",
    "same part of speech",
    "-ize of adjective",
}
_MIN_EXPECTED = 0.3
#: WordNet links senses: a *letter* is also somebody who lets a house. A link between senses that
#: make up less of the use of a word is weak, unless the ending is regular. Minimum lift of a weak
#: link: of a verb and its noun in *-ion* and the like, and of other words.
_MIN_LINKED_SHARE = 0.1
_WEAK_ACTION_LIFT, _WEAK_LIFT = 1.4, 2.2
_NEVER_WEAK = frozenset({"adverb", "noun in -ness", "quality", "able"})
#: The more papers have a word, the smaller the greatest possible ratio.
_COMMON = 15
#: Verbs of nearly every abstract (we propose, we introduce) are weaker evidence than their nouns.
_BOILERPLATE = 0.2
#: Numbers of WordNet links with the same two endings that make the pair regular, and productive.
_REGULAR, _PRODUCTIVE = 4, 10

_QUALITIES = ("ity", "ness", "cy", "ce", "th")
_AGENTS = ("er", "or", "ar", "ee", "ist", "ant")
_NOUNS = ("ion", "ment", "ance", "ence", "ure", "ity", "cy")
#: Regular derivations that WordNet often does not link: ending and part of speech of both words.
_RULE_TABLE = """
-:v able:a, e:v able:a, ate:v able:a, able:a ability:n, ible:a ibility:n, ation:n able:a,
ate:v ation:n, e:v ation:n, -:v ation:n, e:v ion:n, -:v ion:n, -:v ment:n, ize:v ization:n,
ate:v ator:n, -:v er:n, e:v er:n, e:v or:n, -:v or:n, ion:n or:n, ation:n ator:n, ate:v ative:a,
-:v ive:a, e:v ive:a, ate:v atory:a, -:a ity:n, e:a ity:n, -:a ty:n, e:a ety:n, ary:a arity:n,
ic:a icity:n, al:a ality:n, acy:n ate:a, -:a ness:n, -:a ly:r, le:a ly:r, ic:a ically:r,
y:a ily:r, -:n al:a, e:n al:a, ion:n ional:a, ure:n ural:a, y:n ial:a, nce:n ntial:a, -:n ic:a,
y:n ic:a, y:n ical:a, ic:n ical:a, s:n stic:a, ity:n istic:a, sis:n tic:a, ic:a ics:n, -:n ics:n,
ence:n ent:a, ency:n ent:a, ance:n ant:a, -:n ous:a
"""


def _read_rule(row: str) -> tuple[str, PartOfSpeech, str, PartOfSpeech]:
    """Return endings and parts of speech of a row of the table; a hyphen is no ending."""
    (base_ending, base_pos), (ending, pos) = (word.split(":") for word in row.split())
    return (
        base_ending.strip("-"),
        cast("PartOfSpeech", base_pos),
        ending,
        cast("PartOfSpeech", pos),
    )


_RULES = tuple(map(_read_rule, _RULE_TABLE.split(",")))


class Evidence(NamedTuple):
    """How often papers have two lemmas."""

    #: Papers that have the first, the second, both.
    counts: tuple[int, int, int]
    #: Papers that would have both by chance.
    expected: float
    #: (both + 1) / (expected + 1), so that few papers prove little.
    lift: float


class Shape(NamedTuple):
    """How two words differ."""

    shared: int
    shortest: int
    #: Number of WordNet links with the same two endings.
    precedents: int


class Relations:
    """Pairs of lemmas that are related, and pairs that only look related.

    Args:
        net: The dictionary.
        papers: The papers.
        lemmas: The lemmas of their words.

    """

    def __init__(self, net: WordNet, papers: Papers, lemmas: Lemmas) -> None:
        self._net, self._papers, self._lemmas = net, papers, lemmas
        self._precedents = Counter(_endings(link.word, link.other)[1:] for link in net.links)
        #: The pairs that WordNet links, with how much of the use of both words is linked.
        self._linked_share: dict[Pair, float] = defaultdict(float)
        #: The same for the weaker link of two hops over a verb.
        self._hop_share: dict[Pair, float] = defaultdict(float)
        #: Each pair, sorted, with the reason in words.
        self.accepted: dict[Pair, str] = {}
        self.rejected: dict[Pair, str] = {}
        candidates = self._linked()
        for pair, found in self._near(candidates).items():
            candidates[pair] |= found
        for pair, found in self._regular().items():
            candidates[pair] |= found
        self._judge_all(candidates)
        self._judge_all(self._two_hops(candidates))

    def are_accepted(self, word: str, other: str) -> bool:
        """Return whether two lemmas are related."""
        return _pair(word, other) in self.accepted

    def are_rejected(self, word: str, other: str) -> bool:
        """Return whether papers show that two lemmas only look related."""
        return _pair(word, other) in self.rejected and self.evidence(word, other).expected >= 2

    def adverbs(self) -> dict[str, str]:
        """Return each adverb in -ly with its adjective."""
        lemmas, made_of = self._lemmas.all(), dict[str, str]()
        for pair in sorted(self.accepted):
            for adverb, other in (pair, pair[::-1]):
                is_adverb = self._net.parts_of_speech.get(adverb) == {"r"} and adverb.endswith("ly")
                if is_adverb and other in lemmas and not other.endswith("ly"):
                    made_of[adverb] = max(made_of.get(adverb, ""), other, key=len)
        return made_of

    def evidence(self, word: str, other: str) -> Evidence:
        """Return how often papers have two lemmas."""
        mine, theirs = self._lemmas.papers_with(word), self._lemmas.papers_with(other)
        both, expected = (mine & theirs).bit_count(), self._papers.expected(mine, theirs)
        counts = mine.bit_count(), theirs.bit_count(), both
        return Evidence(counts, expected, (both + 1) / (expected + 1))

    def _linked(self) -> dict[Pair, set[Candidate]]:
        found: dict[Pair, set[Candidate]] = defaultdict(set)
        for link in self._net.links:
            for pair, candidate in self._candidates(link, "link"):
                found[pair].add(candidate)
        return found

    def _near(self, linked: dict[Pair, set[Candidate]]) -> dict[Pair, set[Candidate]]:
        """Return pairs by synonyms, unless the longer word has a closer relative of that kind."""
        closest: Counter[tuple[str, PartOfSpeech]] = Counter()
        for pair, candidates in linked.items():
            for pos, other_pos, _ in candidates:
                key = _longer(pair, (pos, other_pos))
                if key is not None:
                    closest[key] = max(closest[key], len(_endings(*pair)[0]))
        found: dict[Pair, set[Candidate]] = defaultdict(set)
        for link in self._net.near_links:
            if link.pos == link.other_pos:
                continue
            for pair, candidate in self._candidates(link, "near"):
                key = _longer(pair, candidate[:2]) or (pair[1], candidate[0])
                if closest[key] <= len(_endings(*pair)[0]):
                    found[pair].add(candidate)
        return found

    def _candidates(self, link: Link, source: Source) -> Iterator[tuple[Pair, Candidate]]:
        for word in self._lemmas.of_word(link.word):
            for other in self._lemmas.of_word(link.other):
                if word < other:
                    share = min(
                        self._net.linked_share(link.word, link.other),
                        self._net.linked_share(link.other, link.word),
                    )
                    pair = word, other
                    self._linked_share[pair] = max(self._linked_share[pair], share)
                    yield (word, other), (link.pos, link.other_pos, source)

    def _regular(self) -> dict[Pair, set[Candidate]]:
        """Return pairs of lemmas that differ by a regular pair of endings."""
        found: dict[Pair, set[Candidate]] = defaultdict(set)
        lemmas, known = self._lemmas.all(), self._net.parts_of_speech
        for derived in lemmas:
            for base_ending, base_pos, ending, pos in _RULES:
                if not derived.endswith(ending) or (
                    pos == "r" and known.get(derived, {"r"}) != {"r"}
                ):
                    continue
                base = derived.removesuffix(ending) + base_ending
                for word in (
                    (base, base[:-1]) if not base_ending and base[-2:-1] == base[-1:] else (base,)
                ):
                    if (
                        len(word) > 3
                        and word in lemmas
                        and word != derived
                        and base_pos in known.get(word, {base_pos})
                    ):
                        is_first = word < derived
                        parts = (base_pos, pos) if is_first else (pos, base_pos)
                        found[_pair(word, derived)].add((*parts, "rule"))
        return found

    def _two_hops(self, candidates: dict[Pair, set[Candidate]]) -> dict[Pair, set[Candidate]]:
        """Return pairs of nouns and adjectives that are related to one verb."""
        near: dict[str, set[tuple[str, PartOfSpeech]]] = defaultdict(set)
        for link in self._net.links:
            if link.pos == "v":
                for verb in self._lemmas.of_word(link.word):
                    near[verb].update(
                        (other, link.other_pos) for other in self._lemmas.of_word(link.other)
                    )
        for (word, other), how in candidates.items():
            if (word, other) in self.accepted:
                near[word].update((other, other_pos) for pos, other_pos, _ in how if pos == "v")
                near[other].update((word, pos) for pos, other_pos, _ in how if other_pos == "v")
        found: dict[Pair, set[Candidate]] = defaultdict(set)
        for verb, words in near.items():
            for (word, pos), (other, other_pos) in combinations(sorted(words), 2):
                pair = word, other
                share = min(self._linked_share.get(_pair(verb, each), 1) for each in pair)
                self._hop_share[pair] = max(self._hop_share[pair], share)
                if (
                    word != other
                    and verb not in pair
                    and pair not in self.accepted
                    and {pos, other_pos} <= {"n", "a"}
                ):
                    found[pair].add((pos, other_pos, "hop"))
        return found

    def _judge_all(self, candidates: dict[Pair, set[Candidate]]) -> None:
        for pair, found in candidates.items():
            evidence = self.evidence(*pair)
            reasons = []
            for candidate in sorted(found):
                kind = _kind(pair, candidate)
                needed = self._needed(pair, kind, candidate, evidence)
                reason = (
                    f"{kind}, {candidate[2]}: {evidence.lift:.2f} of {needed:.2f} {evidence.counts}"
                )
                if self._is_related(pair, candidate[2], kind, needed, evidence):
                    self.accepted[pair] = reason
                    break
                reasons.append(reason)
            else:
                self.rejected[pair] = "; ".join(reasons)
        for pair in self.accepted:
            self.rejected.pop(pair, None)

    def _needed(self, pair: Pair, kind: str, candidate: Candidate, evidence: Evidence) -> float:
        """Return the minimum lift for the pair."""
        pos, _, source = candidate
        needed = _NEEDED_LIFT[kind]
        if source == "hop":
            needed = max(needed, 2.0)
        elif source == "near":
            needed = max(needed, 1.3 if any(word.endswith(_NOUNS) for word in pair) else 2.0)
        elif source == "rule" and kind not in {"adverb", "noun in -ness"}:
            needed = max(needed, 2.5 if kind == "adjective of noun" else 1.5)
        count, other_count, _ = evidence.counts
        if (
            kind == "action"
            and (count if pos == "v" else other_count) > _BOILERPLATE * self._papers.size
        ):
            needed = max(needed, 1.1)
        most = self._papers.size / max(count, other_count, 1)
        if most < _COMMON and needed > 1:
            needed **= math.log(most) / math.log(_COMMON)
        if not self._is_weak(pair, source, kind):
            return needed
        return max(needed, _WEAK_ACTION_LIFT if _is_regular_action(pair, kind) else _WEAK_LIFT)

    def _is_weak(self, pair: Pair, source: Source, kind: str) -> bool:
        """Return whether the dictionary links only rare senses of the words."""
        shares = self._hop_share if source == "hop" else self._linked_share
        is_regular = kind in _NEVER_WEAK or any(word.endswith("sis") for word in pair)
        return not is_regular and shares.get(pair, 1) < _MIN_LINKED_SHARE

    def _is_related(
        self, pair: Pair, source: Source, kind: str, needed: float, evidence: Evidence
    ) -> bool:
        shape = self._shape(pair)
        if not _is_plausible(pair, source, shape):
            return False
        is_regular = shape.precedents >= _REGULAR
        if (
            shape.shared == 3
            and shape.shortest > 4
            and not (is_regular and source == "link" and kind == "action")
        ):
            return source != "hop" and is_regular and evidence.lift >= 3
        if source in {"link", "near"} and not is_regular:
            is_weak = self._is_weak(pair, source, kind)
            return self._is_irregular_relative(kind, shape, needed if is_weak else 1, evidence)
        if source == "link" and kind == "adjective of noun" and self._are_substitutes(evidence):
            return True
        may_be_trusted = kind in _TRUSTED and (
            _is_regular_action(pair, kind)
            or not self._is_weak(pair, source, kind)
            or evidence.counts[2] > 1
        )
        return evidence.lift >= needed or (
            may_be_trusted and self._is_trusted(pair, source, shape, evidence)
        )

    def _is_irregular_relative(
        self, kind: str, shape: Shape, needed: float, evidence: Evidence
    ) -> bool:
        """Return whether two words with a rare pair of endings are related: *grow*, *growth*."""
        if shape.shared >= 4 and evidence.lift >= 3 and evidence.counts[2] >= 4:
            return True
        is_close = kind == "action" and shape.shared >= max(6, 0.8 * shape.shortest)
        return is_close and evidence.lift >= needed

    def _are_substitutes(self, evidence: Evidence) -> bool:
        """Return whether two words are so common that papers use one instead of the other.

        Few abstracts have both *experiments show* and *experimental results show*.
        """
        count, other_count, _ = evidence.counts
        return min(count, other_count) >= 300 and max(count, other_count) > 0.2 * self._papers.size

    def _is_trusted(self, pair: Pair, source: Source, shape: Shape, evidence: Evidence) -> bool:
        """Return whether to accept the dictionary's link without evidence from papers."""
        is_close = source == "link" or (source == "near" and shape.shared >= shape.shortest - 1)
        if evidence.expected < _MIN_EXPECTED and shape.precedents >= _PRODUCTIVE and is_close:
            return True
        word, other = pair
        may_tell = evidence.expected < _MIN_EXPECTED or (
            evidence.expected < 1 and evidence.counts[2] > 1
        )
        return (
            source != "near"
            and may_tell
            and shape.shared >= 0.7 * shape.shortest
            and (self._lemmas.defines(word, other) or self._lemmas.defines(other, word))
        )

    def _shape(self, pair: Pair) -> Shape:
        shared, ending, other_ending = _endings(*pair)
        precedents = max(
            self._precedents[ending, other_ending], self._precedents[other_ending, ending]
        )
        if "sis" in {ending[:3], other_ending[:3]}:
            precedents = max(precedents, _REGULAR)  # *analysis*, *analyze*: few words, all alike
        return Shape(len(shared), min(map(len, pair)), precedents)


def _is_plausible(pair: Pair, source: Source, shape: Shape) -> bool:
    """Return whether two words have enough letters in common to be compared."""
    if not CLOSED_CLASS.isdisjoint(pair) or shape.shared < max(3, 0.45 * shape.shortest):
        return False
    if source == "near" and any(word.endswith("ing") for word in pair):
        return False
    return source != "hop" or shape.shared > 3


def _is_regular_action(pair: Pair, kind: str) -> bool:
    """Return whether a word is the noun of a verb with a regular ending."""
    return kind == "action" and any(word.endswith(_NOUNS) for word in pair)


def _kind(pair: Pair, candidate: Candidate) -> str:
    """Return how two words are related, as a key of `_NEEDED_LIFT`."""
    pos, other_pos, _ = candidate
    if kind := _kind_of_verb_in_ize(pair, candidate):
        return kind
    if pos == other_pos:
        return "other adverb" if pos == "r" else "same part of speech"
    word_of: dict[PartOfSpeech, str] = {pos: pair[0], other_pos: pair[1]}
    if "r" in word_of:
        return "adverb" if word_of["r"].endswith("ly") else "other adverb"
    if "n" in word_of:
        return _kind_of_noun(word_of["n"], other_pos if pos == "n" else pos)
    return "able" if word_of["a"].endswith(("able", "ible")) else "adjective of verb"


def _kind_of_verb_in_ize(pair: Pair, candidate: Candidate) -> str:
    """Return how a verb in -ize or -ify is related to its base; empty if neither is such a verb."""
    for (verb, other), pos in zip((pair, pair[::-1]), candidate[1::-1], strict=True):
        root = verb[:-1]
        is_own_noun = other.startswith((root, root + "ic")) or other.endswith("sis")
        if verb.endswith(("ize", "ify")) and not is_own_noun:
            return "-ize of adjective" if pos == "a" else "-ize of noun"
    return ""


def _kind_of_noun(noun: str, other: PartOfSpeech) -> str:
    if noun.endswith("ness") and other == "a":
        return "noun in -ness"
    if noun.endswith(_QUALITIES if other == "a" else ("ity", "cy")):
        return "quality"
    if other == "a":
        return "adjective of noun"
    return "agent" if noun.endswith(_AGENTS) else "action"


def _pair(word: str, other: str) -> Pair:
    return (word, other) if word < other else (other, word)


def _longer(
    pair: Pair, parts: tuple[PartOfSpeech, PartOfSpeech]
) -> tuple[str, PartOfSpeech] | None:
    """Return the longer word of a pair and the other's part of speech, if one is longer."""
    if len(pair[0]) == len(pair[1]):
        return None
    return (pair[0], parts[1]) if len(pair[0]) > len(pair[1]) else (pair[1], parts[0])


def _endings(word: str, other: str) -> tuple[str, str, str]:
    """Return the common beginning of two words, and the rest of each."""
    shared = 0
    while word[shared : shared + 1] == other[shared : shared + 1] != "":
        shared += 1
    return word[:shared], word[shared:], other[shared:]
