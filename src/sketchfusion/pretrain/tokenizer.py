"""A small CLIP tokenizer, made from the names in the data: byte-pair merges, so any text can still be encoded."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")  # as CLIP cuts ASCII text


def make_tokenizer(texts: Iterable[str], *, size: int, length: int) -> Any:
    """A CLIPTokenizer whose merges make the most frequent words of the texts one token each.

    Args:
        texts: captions and names; how often a word comes decides which merges are learned first.
        size: of the vocabulary at most, the 512 bytes and two special tokens included.
        length: tokens of a padded text, start and end included.
    """
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    counts = Counter(word for text in texts for word in WORD.findall(text.lower()) if word.isascii())
    alphabet = byte_letters()
    merges = learn_merges(counts, size - 2 * len(alphabet) - 2)
    tokens = [*alphabet, *(letter + WORD_END for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))}, merges=merges,
                         model_max_length=length)


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte, in GPT-2's order (which CLIP shares)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return [chr(value) for value in printable] + [chr(256 + index) for index in range(len(others))]


def learn_merges(counts: Counter[str], number: int) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first; ties are broken by the alphabet, so the result is always the same.

    Args:
        counts: how often each word comes.
        number: of merges at most.
    """
    words = {word: [*word[:-1], word[-1] + WORD_END] for word in counts}
    pairs: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], set[str]] = {}
    heap: list[tuple[int, tuple[str, str]]] = []

    def tally(word: str, sign: int) -> None:
        for pair in zip(words[word], words[word][1:], strict=False):
            pairs[pair] += sign * counts[word]
            where.setdefault(pair, set()).add(word)
            heapq.heappush(heap, (-pairs[pair], pair))

    for word in words:
        tally(word, 1)
    merges: list[tuple[str, str]] = []
    while heap and len(merges) < number:
        count, best = heapq.heappop(heap)
        if count >= 0 or pairs[best] != -count:  # an entry from before the count changed
            continue
        merges.append(best)
        for word in sorted(where[best]):
            tally(word, -1)
            words[word] = _merged(words[word], best)
            tally(word, 1)
    return merges


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    index = 0
    while index < len(parts):
        if tuple(parts[index:index + 2]) == pair:
            joined.append("".join(pair))
            index += 2
        else:
            joined.append(parts[index])
            index += 1
    return joined


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write it in the hub's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
