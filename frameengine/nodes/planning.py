"""Whether a message needs a plan before anybody works on it: a rule for the Director of v1, without a model (C50)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from frameengine.messages import Command

WORDS_MIN: Final = 9
"""Words from which a request that names data needs a plan."""
THINGS: Final = frozenset(
    (
        "daten data datenbank database db tabelle table query querie abfrage umsatz umsätze revenue billing abrechnung customer "
        "kunde geraete gerät device objekt object wieviele welche"
    ).split()
)
"""Words that name data. Whole words: "feedback" holds "db", and is none of them (W10)."""
DEEDS: Final = frozenset("query untersuche investigate explore analyse analyze".split())
"""Words for what is done with data."""
DATA_PHRASES: Final = (("how", "many"),)
"""Words that name data when they follow each other."""
THING_ENDINGS: Final = ("", "s", "n", "en", "e", "es")
"""Endings with which a thing counts as well: customers, Kunden."""
DEED_ENDINGS: Final = ("", "s", "d", "n", "st", "t")
"""Endings with which a deed counts as well: analysed, untersuchen."""

_WORD: Final = re.compile(r"\w+")


def needs_plan(command: Command) -> bool:
    """Return whether the Director plans: for what is complex, and for longer requests and actions that name data."""
    analysis = command.analysis
    if analysis.complexity == "complex":
        return True
    words = _WORD.findall(command.source_text.lower())
    if analysis.intent not in ("request", "action") or len(command.source_text.split()) < WORDS_MIN:
        return False
    return any(_names_data(word) for word in words) or any(pair in DATA_PHRASES for pair in pairwise(words))


def _names_data(word: str) -> bool:
    return any(
        word.endswith(ending) and word[: len(word) - len(ending)] in known
        for known, endings in ((THINGS, THING_ENDINGS), (DEEDS, DEED_ENDINGS))
        for ending in endings
    )
