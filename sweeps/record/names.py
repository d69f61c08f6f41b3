"""Readable names: two words for a key, and the id of a run."""

from __future__ import annotations

import hashlib
from datetime import datetime

ADJECTIVES = (
    "amber azure bold brave bright brisk calm clear cool coral crisp deep eager early fair fast fine fresh gentle "
    "glad golden grand green happy keen kind light lively lucid lunar mellow mild misty neat nimble noble pale plain "
    "polar proud quick quiet rapid rare red rosy sharp shy silent silver sleek smart smooth soft solar solid steady "
    "still sunny swift tidy vivid warm wise"
).split()
NOUNS = (
    "acorn anchor aspen badger beacon birch brook canyon cedar cliff cloud comet coral crane creek delta dune eagle "
    "ember falcon fern field finch fjord forest fox garden glacier grove harbor hawk heron hill island jay lagoon lake "
    "lark leaf lynx maple marsh meadow moon moss oak ocean orchid otter owl pebble pine planet pond prairie quail "
    "raven reef ridge river robin sparrow star stone stream summit thrush tulip valley wave willow wren"
).split()


def two_words(text: str) -> str:
    """Two words that stand for a text: equal texts, equal words."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"{ADJECTIVES[digest[0] % len(ADJECTIVES)]}-{NOUNS[digest[1] % len(NOUNS)]}"


def new_run_id(now: datetime, salt: str) -> str:
    """Return `YYYYMMDD-HHMMSS-<two words>`."""
    return f"{now:%Y%m%d-%H%M%S}-{two_words(f'{now.isoformat()}{salt}')}"
