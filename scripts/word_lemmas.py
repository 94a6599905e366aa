"""The lemmas of each form, by WordNet's rules and the words of papers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from feedsrv.search.stemmer import stem
from word_sources import PARTS_OF_SPEECH, Papers, PartOfSpeech, WordNet

#: Function words: they have no derivations, and are not comparatives or plurals.
_CLOSED_CLASS = (
    "a about above after all also am an and any are as at be been before being below between both "
    "but by can could did do does first for from had has have he her here his how if in into is it "
    "its last like may more most much must no nor not of off on one only or other our out over own "
    "same second she should so some such than that the their them then there these they this those "
    "through to too under until up us very was we were what when where which while who why will "
    "with would yet you your"
)
CLOSED_CLASS = frozenset(_CLOSED_CLASS.split())
#: Participles that papers use as prepositions: *based on*, *code-based*. Not a form of *base*.
PREPOSITIONS = frozenset({"based"})
#: Minimum number of letters before and in the irregular form that a compound ends with.
_MIN_HEAD, _MIN_IRREGULAR = 2, 3
#: WordNet's rules of detachment (MORPHY(7WN)): ending of the form, ending of the lemma.
_ENDINGS: dict[PartOfSpeech, tuple[tuple[str, str], ...]] = {
    "n": (
        *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh")),
        *(("oes", "o"), ("ies", "y"), ("men", "man")),
    ),
    "v": (
        *(("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ied", "y")),
        *(("ing", "e"), ("ing", "")),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e"), ("ier", "y"), ("iest", "y")),
}
_SIBILANTS = ("s", "x", "z", "ch", "sh", "o")
#: Substitutions that turn one spelling of a word into another, such as British into American. They
#: apply only to synonyms.
_RESPELLINGS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        *(("our", "or"), ("is(?=e|ing|ation)", "iz"), ("yse", "yze"), ("([^aeiou])re", r"\1er")),
        *(("ogue", "og"), ("ae", "e"), ("oe", "e"), ("ll", "l"), ("ful", "full"), ("l$", "ll")),
        *(("enc(?=e|i)", "ens"), ("mme$", "m"), ("dgement", "dgment"), ("arte", "arti")),
        *(("^grey", "gray"), ("^sce", "ske"), ("ph", "f"), ("c$", "k"), ("ou", "o")),
        *(("ough$", "ow"), ("^enq", "inq"), ("xion", "ction"), ("eing$", "ing"), ("eab", "ab")),
        *(("yre$", "ire"), ("pp", "p"), ("ss", "s"), ("tt", "t"), ("se$", "s")),
    )
)
#: Only long words may differ by two substitutions: *manoeuvre*, *maneuver*.
_MIN_RESPELLED_TWICE = 8
_ONE_SYLLABLE = re.compile("[^aeiouy]*[aeiouy]{1,2}[^aeiouy]*e?")
_DOUBLING = re.compile("[^aeiou]*[aeiouy][^aeiouwxy]")
_VERBAL = ("ed", "ing")


class Lemmas:
    """The lemmas of each form that a paper or the dictionary has.

    Args:
        net: The dictionary.
        papers: The papers.

    """

    def __init__(self, net: WordNet, papers: Papers) -> None:
        self._net, self._papers = net, papers
        self._derived_from_verb = {
            (link.word, link.other) for link in net.links if link.other_pos == "v"
        }
        #: Word to its preferred spelling.
        self.spelling = dict(self._preferred_spellings())
        readings = {
            form: found for form in sorted(self._known_forms()) if (found := self._readings(form))
        }
        self._forms = _inverted(
            (form, {lemma for lemma, _ in found}) for form, found in readings.items()
        )
        #: Form to lemmas; nearly always one.
        decided = {form: self._decide(form, found) for form, found in readings.items()}
        self.of = {form: frozenset(_followed(lemmas, decided)) for form, lemmas in decided.items()}
        self._forms = _inverted(self.of.items())
        self._sets: dict[str, int] = {}

    def all(self) -> set[str]:
        """Return every lemma."""
        return set(self._forms)

    def of_word(self, word: str) -> frozenset[str]:
        """Return the lemmas of a word, even if no paper has it."""
        return self.of.get(word) or frozenset([self.spelling.get(word, word)])

    def papers_with(self, lemma: str) -> int:
        """Return the set of papers that have any form of the lemma."""
        if lemma not in self._sets:
            self._sets[lemma] = self._united(self._forms.get(lemma, {lemma}))
        return self._sets[lemma]

    def is_verb(self, word: str) -> bool:
        """Return whether the word is used as a verb, and not only listed as one."""
        if "v" not in self._net.parts_of_speech.get(word, ()):
            return False
        if self._net.uses[word, "v"] or self._net.parts_of_speech[word] == {"v"}:
            return True
        rest = word.removesuffix("e")
        return self._papers.count(rest + "ed") > 1 and self._papers.count(rest + "ing") > 0

    def defines(self, base: str, word: str) -> bool:
        """Return whether the dictionary defines a word with a form of the base."""
        wanted = stem(base)
        return any(stem(w) == wanted for w in self._net.definitions.get(word, ()) if w != word)

    def _united(self, forms: Iterable[str]) -> int:
        found = 0
        for form in forms:
            found |= self._papers.containing(form)
        return found

    def _is_used(self, word: str, pos: PartOfSpeech) -> bool:
        if pos == "v":
            return self.is_verb(word)
        return pos in self._net.parts_of_speech.get(word, ()) and self._is_common(word)

    def _is_common(self, word: str) -> bool:
        return self._papers.count(word) > 1 or any(
            self._net.uses[word, pos] for pos in PARTS_OF_SPEECH
        )

    def _known_forms(self) -> set[str]:
        net, papers = self._net, self._papers
        forms = {word for word in papers.words() if papers.count(word) > 1}
        forms.update(word for word in net.parts_of_speech if self._is_common(word))
        forms.update(net.irregular)
        forms.update(self.spelling)
        for word, pos in net.parts_of_speech.items():
            is_plural = word.endswith("ics") or (
                word.endswith("s") and word[:-1] in net.parts_of_speech
            )
            if "n" in pos and not is_plural and self._is_common(word):
                forms.add(_plural(word))
            if "a" in pos and (net.uses[word, "a"] > 2 or papers.count(word) > 9):
                forms.update(
                    form
                    for form in _compared(word)
                    if papers.count(form) or net.uses[word, "a"] > 9
                )
        return forms

    def _preferred_spellings(self) -> Iterator[tuple[str, str]]:
        cluster: dict[str, frozenset[str]] = {}
        for word in sorted(self._net.parts_of_speech):
            for other in sorted(_respelled(word) & self._net.synonyms[word] - {word}):
                both = cluster.get(word, frozenset([word])) | cluster.get(other, frozenset([other]))
                cluster.update(dict.fromkeys(both, both))
        for word, words in cluster.items():
            preferred = max(words, key=self._spelling_rank)
            if preferred != word:
                yield word, preferred

    def _spelling_rank(self, word: str) -> tuple[int, int, bool, bool, int, str]:
        uses = sum(self._net.uses[word, pos] for pos in PARTS_OF_SPEECH)
        return (
            self._papers.count(word),
            uses,
            word in self._net.irregular,
            "iz" in word,
            -len(word),
            word,
        )

    def _readings(self, form: str) -> set[tuple[str, str]]:
        """Return the possible lemmas with their part of speech; "own" if the form is a lemma."""
        net = self._net
        if form in PREPOSITIONS:
            return {(form, "own")}
        if self._is_plural_of_abbreviation(form):
            return {(form[:-1], "n")}
        found = {(form, "own")} if form in net.parts_of_speech else set()
        found.update(self._irregular_readings(form))
        found.update(self._regular_readings(form))
        found.update(self._compound_readings(form))
        if not found or {pos for _, pos in found} == {"a"}:
            if unlisted := self._unlisted_lemma(form):
                found.add((unlisted, "n"))
            elif not found and self._papers.count(form):
                found.add((form, "own"))
        return {
            (self.spelling.get(lemma, lemma), pos)
            for lemma, pos in found
            if lemma not in CLOSED_CLASS or pos != "a"
        }

    def _irregular_readings(self, form: str) -> Iterator[tuple[str, str]]:
        for lemma, pos in self._net.irregular.get(form, ()):
            shared = 2 if pos in "ar" else 1  # *better* is not grouped with *good*
            if (
                lemma == form
                or lemma[:shared] != form[:shared]
                or pos not in self._net.parts_of_speech.get(lemma, ())
            ):
                continue
            if {"a": self._papers.count(lemma), "v": self._net.uses[lemma, "v"]}.get(pos, 1):
                yield lemma, pos

    def _compound_readings(self, form: str) -> Iterator[tuple[str, str]]:
        """Yield the lemmas of an unlisted compound with an irregular form: *jailbroken*."""
        if form in self._net.parts_of_speech or form.endswith(("s", *_VERBAL)):
            return
        for cut in range(_MIN_HEAD, len(form) - _MIN_IRREGULAR + 1):
            head, rest = form[:cut], form[cut:]
            for lemma, pos in self._irregular_readings(rest):
                if self._is_listed(head + lemma):
                    yield head + lemma, pos

    def _regular_readings(self, form: str) -> Iterator[tuple[str, str]]:
        for pos, endings in _ENDINGS.items():
            for ending, replacement in endings:
                if not form.endswith(ending) or (ending == "s" and form.endswith("ss")):
                    continue
                rest = form.removesuffix(ending)
                if (ending, replacement) == ("es", "") and not rest.endswith(_SIBILANTS):
                    continue
                if ending in {"oes", "xes", "ses", "zes"} and self._is_listed(form[:-1]):
                    continue
                lemmas = [rest + replacement]
                if ending in _VERBAL and not replacement and len(rest) > 2 and rest[-1] == rest[-2]:
                    lemmas.append(rest[:-1])
                for lemma in lemmas:
                    if len(lemma) > 1 and self._is_used(lemma, pos):
                        yield lemma, pos

    def _is_listed(self, word: str) -> bool:
        return len(word) > 1 and (word in self._net.parts_of_speech or self._papers.count(word) > 1)

    def _is_plural_of_abbreviation(self, form: str) -> bool:
        """Return whether papers use the form as a plural, as *IDEs* for the dictionary's *ides*."""
        net, count = self._net, self._papers.count
        return (
            form.endswith("s")
            and form in net.parts_of_speech
            and form not in net.irregular
            and form[:-1] not in net.parts_of_speech
            and not any(net.uses[form, pos] for pos in PARTS_OF_SPEECH)
            and count(form[:-1]) >= max(2, count(form))
        )

    def _unlisted_lemma(self, form: str) -> str:
        """Return the lemma of a form that is not in the dictionary; empty if it is a lemma."""
        if form.endswith("s") and not form.endswith("ss") and self._is_listed(form[:-1]):
            return form[:-1]
        for ending in _VERBAL:
            rest = form.removesuffix(ending)
            if rest == form or len(rest) < 3:
                continue
            for lemma in (rest + "e", rest, rest[:-1] if rest[-1] == rest[-2] else ""):
                others = lemma + "s", lemma + "d", *({rest + "ed", rest + "ing"} - {form})
                if self._is_listed(lemma) and any(map(self._papers.count, others)):
                    return lemma
        return ""

    def _decide(self, form: str, readings: set[tuple[str, str]]) -> set[str]:
        """Return the lemmas that the form is used for."""
        own = {lemma for lemma, pos in readings if pos == "own"}
        others = {(lemma, pos) for lemma, pos in readings if pos != "own" and lemma not in own}
        if not others:
            return own
        if not own:
            return self._likeliest(form, {lemma for lemma, _ in others})
        real = {(lemma, pos) for lemma, pos in others if self._is_really(form, lemma, pos)}
        if not real:
            return own
        lemmas = {lemma for lemma, _ in real}
        if form in self._net.irregular and not form.endswith(("s", *_VERBAL)):
            mine = max(self._net.uses[form, pos] for pos in PARTS_OF_SPEECH)
            theirs = max(self._net.uses[lemma, pos] for lemma, pos in real)  # type: ignore[index]
            if 5 * mine >= theirs:
                return lemmas | own
        return self._likeliest(form, lemmas)

    def _is_really(self, form: str, lemma: str, pos: str) -> bool:
        """Return whether a form that is a lemma itself is also a form of another lemma.

        *Training* is a form of *train*. *Evening* is not a form of *even*, nor *modest* of *mod*.
        """
        net, is_verbal = self._net, pos == "v" and form.endswith(_VERBAL)
        if form.endswith(_VERBAL) and (form, lemma) in self._derived_from_verb:
            return True
        mine, theirs = self._papers.containing(form), self._united(self._forms[lemma] - {form})
        expected = self._papers.expected(mine, theirs)
        # Shrunk towards a lift of 1.5, the usual case for words that few papers have.
        lift = ((mine & theirs).bit_count() + 4.5) / (expected + 3)
        if pos == "a":
            is_adjective = net.parts_of_speech[form] <= {"a", "r"}
            return self.defines(lemma, form) and (is_adjective or lift >= 1.6)
        if expected >= 3:
            return lift >= 0.9 or (is_verbal and net.uses[lemma, "v"] > 2)
        return (
            not is_verbal
            or self.defines(lemma, form)
            or 3 * net.uses[lemma, "v"] >= net.uses[form, "n"]
        )

    def _likeliest(self, form: str, lemmas: set[str]) -> set[str]:
        """Return the likely lemmas of those that the rules give."""
        if form in self._net.irregular and not form.endswith("es"):
            listed = {
                self.spelling.get(lemma, lemma) for lemma, _ in self._net.irregular[form]
            } & lemmas
            if listed:
                return listed
        if form.endswith(_VERBAL):
            # *Hoped* is a form of *hope*; the form of *hop* is *hopped*.
            return {lemma for lemma in lemmas if lemma + "e" not in lemmas}
        return lemmas


def _followed(lemmas: Iterable[str], decided: dict[str, set[str]]) -> Iterator[str]:
    """Yield the lemmas; for a lemma that is a form itself, its lemmas: *plan* of *plannings*."""
    for lemma in lemmas:
        own = decided.get(lemma, {lemma})
        yield from {lemma} if lemma in own else own


def _respelled(word: str) -> set[str]:
    once = {pattern.sub(replacement, word) for pattern, replacement in _RESPELLINGS}
    if len(word) < _MIN_RESPELLED_TWICE:
        return once
    return once | {
        pattern.sub(replacement, other) for other in once for pattern, replacement in _RESPELLINGS
    }


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return word + ("es" if word.endswith(_SIBILANTS[:-1]) else "s")


def _compared(word: str) -> tuple[str, ...]:
    """Return comparative and superlative of an adjective of one syllable."""
    if len(word) < 3 or not _ONE_SYLLABLE.fullmatch(word):
        return ()
    if word.endswith("e"):
        return f"{word}r", f"{word}st"
    if _DOUBLING.fullmatch(word):
        word += word[-1]
    return f"{word}er", f"{word}est"


def _inverted(pairs: Iterable[tuple[str, Iterable[str]]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for form, lemmas in pairs:
        for lemma in lemmas:
            found[lemma].add(form)
    return found
