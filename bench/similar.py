"""Measure how well, and how fast, papers that are similar to others are found.

    .venv/bin/python bench/similar.py DIRECTORY

DIRECTORY has responses of Hugging Face's API (``/api/daily_papers?date=…``), one day a file,
gzipped or not. A topic is a pair of words that stand side by side in the keywords of 6 to 20 papers
("diffusion transformer", "tool use"), forms of a word as one; Hugging Face's language model gave
the keywords. One of the words has to be in fewer than one paper in ten: "large model" is no topic.
Of each topic, some papers are taken at random, ten times over, and all other papers are ranked by
similarity to them.

- AUC: how often a paper of the topic is ahead of one that is not. By chance, one time in two.
- Recall: the share of the topic's other papers among the first 2 %.

The model gives keywords to half of the papers only, and rarely all that apply, so that the figures
are lower than with topics made by hand. They compare one version with another.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean

import msgspec

from feedsrv.models import Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.similar import SimilarityIndex, build_seed_vector, vectorize
from feedsrv.search.word_families import base_forms
from feedsrv.upstream.paper_json import parse_paper

ROUNDS, SEEDS = 10, (1, 3, 5)
MIN_PAPERS, MAX_PAPERS = 6, 20
#: The share of the papers that the rarest word of a topic may have.
MAX_SHARE = 0.1
TOP_SHARE = 0.02


def read_papers(directory: Path) -> list[Paper]:
    """Return the papers of all files, each once."""
    papers: dict[str, Paper] = {}
    for file in sorted(directory.glob("*.json*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for entry in json.loads(data):
            paper = parse_paper(msgspec.Raw(json.dumps(entry).encode()), None)
            papers[paper.id] = paper
    return list(papers.values())


def find_topics(papers: Sequence[Paper]) -> dict[str, list[int]]:
    """Return the numbers of the papers of each topic."""
    topics: dict[str, dict[int, None]] = defaultdict(dict)
    found = Counter(word for paper in papers for word in set(vectorize(paper.tokens).words))
    for number, paper in enumerate(papers):
        for keyword in paper.keywords:
            words = [base_forms(word)[0] for word in tokenize(keyword)]
            for pair in pairwise(words):
                if min(found[word] for word in pair) < len(papers) * MAX_SHARE:
                    topics[" ".join(pair)][number] = None
    return {
        topic: list(numbers)
        for topic, numbers in topics.items()
        if MIN_PAPERS <= len(numbers) <= MAX_PAPERS
    }


def judge(scores: Sequence[float], members: set[int], seeds: set[int]) -> tuple[float, float]:
    """Return the AUC and the recall of a ranking, the seeds left out."""
    ranked = sorted((n for n in range(len(scores)) if n not in seeds), key=lambda n: -scores[n])
    wanted = [rank for rank, number in enumerate(ranked) if number in members]
    others = len(ranked) - len(wanted)
    ahead = sum(rank - index for index, rank in enumerate(wanted))
    top = math.ceil(len(ranked) * TOP_SHARE)
    return 1 - ahead / (len(wanted) * others), mean(rank < top for rank in wanted)


def measure_quality(papers: Sequence[Paper], topics: dict[str, list[int]]) -> Iterator[str]:
    """Yield a line with the quality for each number of seeds."""
    index, chance = SimilarityIndex(papers), random.Random(1)
    for size in SEEDS:
        results = []
        for members in topics.values():
            for _ in range(ROUNDS):
                seeds = chance.sample(members, size)
                scores = index.similarities(build_seed_vector([papers[n] for n in seeds]))
                results.append(judge(scores, set(members) - set(seeds), set(seeds)))
        auc, recall = (mean(figures) for figures in zip(*results, strict=True))
        yield f"{size} seeds: AUC {auc:.3f}, recall in the first 2 % {recall:.3f}"


def measure_time(papers: Sequence[Paper], count: int) -> str:
    """Return a line with the CPU time for that many papers, which the papers are repeated to."""
    many = (list(papers) * (count // len(papers) + 1))[:count]
    vectorize.__globals__["_vectorize"].cache_clear()
    start = time.process_time()
    for paper in papers:
        vectorize(paper.tokens)
    vectors = (time.process_time() - start) * count / len(papers)
    index = SimilarityIndex(many)
    start = time.process_time()
    for first in range(0, 60, 3):
        index.similarities(build_seed_vector(papers[first : first + 3]))
    query = (time.process_time() - start) / 20
    return f"{count} papers: vectors {vectors:.2f} s, a query of 3 seeds {1000 * query:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    papers = read_papers(parser.parse_args().directory)
    topics = find_topics(papers)
    members = sum(map(len, topics.values()))
    print(f"{len(papers)} papers, {len(topics)} topics with {members} memberships")
    for line in measure_quality(papers, topics):
        print(line)
    for count in (1_500, 30_000):
        print(measure_time(papers, count))


if __name__ == "__main__":
    main()
