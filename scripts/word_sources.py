"""Readers of the two sources: WordNet 3.0, and the words of papers."""

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

#: Noun, verb, adjective, adverb: WordNet's own letters.
PartOfSpeech = Literal["n", "v", "a", "r"]
PARTS_OF_SPEECH: dict[PartOfSpeech, str] = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_SENSE_NUMBERS: dict[str, PartOfSpeech] = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
#: Types of synsets as data files and sense keys have them; a satellite (5) is an adjective.
_SYNSET_TYPES = {"n": "1", "v": "2", "a": "3", "r": "4", "s": "5"}
#: Uses of each sense, in addition to those of annotated texts.
_PRIOR_USES = 0.5
_WORD = re.compile("[a-z]{2,40}")
_EXAMPLE = re.compile('"[^"]*"')
#: Minimum number of letters that a word has in common with a synonym of its base.
_MIN_SHARED = 4


class Link(NamedTuple):
    """Two words that WordNet links: one is derived from the other, or pertains to it."""

    word: str
    pos: PartOfSpeech
    other: str
    other_pos: PartOfSpeech

    def reversed(self) -> "Link":
        """Return the same link from its other end."""
        return Link(self.other, self.other_pos, self.word, self.pos)


class _Synset(NamedTuple):
    words: tuple[str, ...]
    #: How often annotated texts have each word in this sense, and the prior.
    uses: tuple[float, ...]
    #: Sign, offset and part of speech of the other synset, number of the word here and in it.
    pointers: tuple[tuple[str, str, PartOfSpeech, int, int], ...]

    def words_with_uses(self) -> Iterator[tuple[str, float]]:
        """Yield the single lower-case words, with their uses."""
        pairs = zip(self.words, self.uses, strict=True)
        return ((word, uses) for word, uses in pairs if _WORD.fullmatch(word))


class WordNet:
    """The single lower-case words of WordNet, its irregular forms and its links.

    Args:
        folder: The directory with ``data.noun``, ``noun.exc`` and so on; see WNDB(5WN).

    """

    def __init__(self, folder: Path) -> None:
        self.parts_of_speech: dict[str, set[PartOfSpeech]] = defaultdict(set)
        self.synonyms: dict[str, set[str]] = defaultdict(set)
        #: The words that define a word.
        self.definitions: dict[str, set[str]] = defaultdict(set)
        #: How often annotated texts have the word as this part of speech.
        self.uses: Counter[tuple[str, PartOfSpeech]] = Counter()
        #: Irregular form to (lemma, part of speech).
        self.irregular: dict[str, set[tuple[str, PartOfSpeech]]] = defaultdict(set)
        self.links: set[Link] = set()
        #: Links extended to synonyms: WordNet links *preciseness* with *precise*, but not its
        #: synonym *precision*.
        self.near_links: set[Link] = set()
        self._sense_uses: Counter[str] = Counter()
        #: Word to the uses of all its senses.
        self._all_uses: dict[str, float] = defaultdict(float)
        #: Word and linked word to the synsets of the first that are linked, with its uses there.
        self._linked_uses: dict[tuple[str, str], dict[tuple[PartOfSpeech, str], float]] = (
            defaultdict(dict)
        )
        self._read_uses(folder / "cntlist.rev")
        synsets: dict[tuple[PartOfSpeech, str], _Synset] = {}
        for pos, name in PARTS_OF_SPEECH.items():
            synsets.update(self._read_synsets(folder / f"data.{name}", pos))
            self._read_irregular(folder / f"{name}.exc", pos)
        self._link(synsets)

    def linked_share(self, word: str, other: str) -> float:
        """Return which share of the uses of a word is in senses that are linked to another word."""
        linked = self._linked_uses.get((word, other), {})
        return sum(linked.values()) / self._all_uses[word] if linked else 0

    def _read_synsets(
        self, path: Path, pos: PartOfSpeech
    ) -> Iterator[tuple[tuple[PartOfSpeech, str], _Synset]]:
        for line in path.read_text("ascii").splitlines():
            if line.startswith("  "):  # the licence
                continue
            data, _, definition = line.partition(" | ")
            offset, file_number, synset_type, count, *rest = data.split()
            size = 2 * int(count, 16)
            words = tuple(re.sub(r"\(.*\)", "", word) for word in rest[:size:2])
            sense = f"%{_SYNSET_TYPES[synset_type]}:{file_number}"
            keys = (
                f"{word.casefold()}{sense}:{int(number, 16):02}"
                for word, number in zip(words, rest[1:size:2], strict=True)
            )
            uses = tuple(self._sense_uses[key] + _PRIOR_USES for key in keys)
            for word, word_uses in zip(words, uses, strict=True):
                self._all_uses[word] += word_uses
            pointers = rest[size + 1 : size + 1 + 4 * int(rest[size])]
            yield (pos, offset), _Synset(words, uses, tuple(_pointers(pointers)))
            defining = set(_WORD.findall(_EXAMPLE.sub("", definition)))
            plain = set(filter(_WORD.fullmatch, words))
            for word in plain:
                self.parts_of_speech[word].add(pos)
                self.synonyms[word] |= plain
                self.definitions[word] |= defining

    def _read_irregular(self, path: Path, pos: PartOfSpeech) -> None:
        for line in path.read_text("ascii").splitlines():
            form, *lemmas = line.split()
            for lemma in lemmas:
                if _WORD.fullmatch(form) and _WORD.fullmatch(lemma):
                    self.irregular[form].add((lemma, pos))

    def _read_uses(self, path: Path) -> None:
        for line in path.read_text("ascii").splitlines():
            sense, _, count = line.split()
            word, _, number = sense.partition("%")
            self.uses[word, _SENSE_NUMBERS[number[0]]] += int(count)
            self._sense_uses[":".join(sense.split(":")[:3])] += int(count)

    def _link(self, synsets: dict[tuple[PartOfSpeech, str], _Synset]) -> None:
        for (pos, key), synset in synsets.items():
            for sign, offset, other_pos, number, other_number in synset.pointers:
                target = synsets[other_pos, offset]
                linked = synset.words[number - 1], target.words[other_number - 1]
                for (word, uses), (other, other_uses) in product(
                    synset.words_with_uses(), target.words_with_uses()
                ):
                    self._linked_uses[word, other][pos, key] = uses
                    self._linked_uses[other, word][other_pos, offset] = other_uses
                    link = Link(word, pos, other, other_pos)
                    if word == other:
                        continue
                    if (word, other) == linked:
                        self.links |= {link, link.reversed()}
                    elif sign == "+" and word[:_MIN_SHARED] == other[:_MIN_SHARED]:
                        self.near_links |= {link, link.reversed()}
        self.near_links -= self.links


def _pointers(fields: list[str]) -> Iterator[tuple[str, str, PartOfSpeech, int, int]]:
    """Yield the pointers from word to word that mean derivation (+) or pertaining (a backslash)."""
    for sign, offset, pos, ends in zip(*[iter(fields)] * 4, strict=True):
        if sign in {"+", "\\"} and ends != "0000" and pos in PARTS_OF_SPEECH:
            yield sign, offset, pos, int(ends[:2], 16), int(ends[-2:], 16)


class Papers:
    """Which papers have which words.

    Args:
        path: A text file, gzipped or not, with the words of one paper per line.

    """

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
        self.size = len(lines)
        self._numbers: dict[str, list[int]] = defaultdict(list)
        for number, line in enumerate(lines):
            for word in set(_WORD.findall(line.casefold())):
                self._numbers[word].append(number)
        self._sets: dict[str, int] = {}

    def words(self) -> Iterator[str]:
        """Yield every word that a paper has."""
        yield from self._numbers

    def count(self, word: str) -> int:
        """Return how many papers have the word."""
        return len(self._numbers.get(word, ()))

    def containing(self, word: str) -> int:
        """Return the set of papers that have the word, as an integer with one bit for each."""
        if word not in self._sets:
            marks = bytearray(b"0" * self.size)
            for number in self._numbers.get(word, ()):
                marks[number] = ord("1")
            self._sets[word] = int(marks, 2)
        return self._sets[word]

    def expected(self, some: int, others: int) -> float:
        """Return how many papers two sets would have in common by chance."""
        return some.bit_count() * others.bit_count() / self.size
