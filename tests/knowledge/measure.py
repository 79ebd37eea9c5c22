"""Measures the embedded knowledge base on synthetic text: `python -m tests.knowledge.measure [passages]`.

Words are drawn with Zipf's frequencies, as in natural text, so common and rare words cost what they really cost.
Searches run through the catalog, the hop into a worker thread included.
"""

import itertools
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import trio

from server.knowledge.catalog import SqliteCatalog
from server.knowledge.ingest import ingest
from server.knowledge.sqlite import KnowledgeIndex

_VOCABULARY = 20_000
_PASSAGES_PER_DOCUMENT = 10
_WORDS_PER_PASSAGE = 120
_SEARCHES = 400


def _vocabulary(chance: random.Random) -> list[str]:
    syllables = [
        "ba",
        "ko",
        "ri",
        "mun",
        "tel",
        "sa",
        "vo",
        "der",
        "pil",
        "gen",
        "tor",
        "lu",
        "fi",
        "nar",
        "cho",
        "wex",
    ]
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        words["".join(chance.choices(syllables, k=chance.randint(2, 4)))] = None
    return list(words)


def write_documents(folder: Path, passages: int, seed: int) -> list[str]:
    """Fills `folder` and returns questions: two to eight words each, common and rare ones."""
    chance = random.Random(seed)
    words = _vocabulary(chance)
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(_VOCABULARY)))
    for number in range(passages // _PASSAGES_PER_DOCUMENT):
        lines = [f"# {' '.join(chance.choices(words, cum_weights=weights, k=3))}"]
        for _ in range(_PASSAGES_PER_DOCUMENT):
            drawn = chance.choices(words, cum_weights=weights, k=_WORDS_PER_PASSAGE)
            lines.append(f"## {' '.join(drawn[:2])}")
            lines.append(" ".join(f"{' '.join(drawn[i : i + 15]).capitalize()}." for i in range(0, len(drawn), 15)))
        target = folder / f"{number % 100:02}"
        target.mkdir(exist_ok=True)
        (target / f"{number}.md").write_text("\n\n".join(lines))
    return [
        "When does the " + " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(2, 8))) + "?"
        for _ in range(_SEARCHES)
    ]


async def _search_all(catalog: SqliteCatalog, questions: list[str]) -> list[float]:
    base = await catalog.open("synthetic")
    for query in questions[:20]:
        await base.search(query)
    took: list[float] = []
    for query in questions:
        start = time.perf_counter()
        await base.search(query)
        took.append((time.perf_counter() - start) * 1000)
    return took


def main(passages: int) -> None:
    """Prints ingest rate, repeat time, search times and file size."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sources = folder / "sources"
        sources.mkdir()
        questions = write_documents(sources, passages, seed=1)
        index = KnowledgeIndex(folder / "index")
        start = time.perf_counter()
        report = ingest(index, "synthetic", [sources])
        took = time.perf_counter() - start
        print(f"ingest: {report.passages} passages in {took:.1f} s, {report.passages / took:.0f} a second")
        start = time.perf_counter()
        ingest(index, "synthetic", [sources])
        print(f"ingest again, nothing changed: {time.perf_counter() - start:.2f} s for {report.added} files")
        print(f"file: {index.file('synthetic').stat().st_size / 1024 / 1024:.1f} MiB")
        times = trio.run(_search_all, SqliteCatalog(index), questions)
        cut = statistics.quantiles(times, n=100)
        print(f"search: p50 {cut[49]:.2f} ms, p95 {cut[94]:.2f} ms, p99 {cut[98]:.2f} ms")
        index.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
