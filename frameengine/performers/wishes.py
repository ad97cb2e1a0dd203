"""What the stand-in for a model takes a message to ask for: a few wishes, known by their words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from frameengine.jsonvalue import FrozenMap, Json, freeze

NAME: Final = "scripted stand-in"
"""What a trace says of who replied."""
TRY: Final = ("How many customers are there?", "List the buildings", "Give me a counter", "Walk me through a meter reading")
"""One message for each wish that it knows."""
DATABASE: Final = "billing"
LISTED: Final = 10
"""Rows of a list."""
COLUMNS: Final[Mapping[str, str]] = {
    "customers": "name, kind, city",
    "buildings": "street, city, heating, built",
    "flats": "label, area_m2",
    "meters": "serial, kind, installed",
    "readings": "read_on, kwh, estimated",
    "bills": "year, total_eur, prepaid_eur, sent_on",
}
"""Table of the billing database -> what a list of it shows."""

_UNKNOWN: Final = "\n- ".join(
    [f"I am a {NAME}: no model is asked, and I have rules for a few wishes only. Try one of these:", *TRY]
)
_SOCIAL: Final = re.compile(
    r"\W*(?:(?P<thanks>thanks?|thank you|danke)|(?P<bye>bye|goodbye|tschüss)|hi|hello|hey|hallo|moin|good (?:morning|day|evening)"
    r"|guten (?:morgen|tag|abend))\b(?:\W+\w+){0,3}\W*",
    re.IGNORECASE,
)
_COUNTER: Final = re.compile(r"\bcounter\b|\bzähler\b", re.IGNORECASE)
_WALK: Final = re.compile(r"\bmeter reading\b|\bstep by step\b|\bmachine\b", re.IGNORECASE)
_COUNT: Final = re.compile(r"\bhow many\b|\bnumber of\b|\bcount\b|\bwie viele\b", re.IGNORECASE)
_WORDS: Final = {"kunde": "customers", "kunden": "customers", "gebäude": "buildings", "rechnungen": "bills"}
_WORD: Final = re.compile(r"\w+")
_PLAIN: Final = frozenset(
    (
        "hi hello hey hallo good morning day a all an and are at can could count database do exist first for get give "
        "has have how i in is it list many me need no now number of off one our overview please s see show table tell "
        "ten that the them there these total us want we what which with you your alle bitte das der die es gibt haben "
        "ich liste mir sind übersicht und viele von wie wieviele wir zeig zeige"
    ).split()
)
"""Words that a count or a list has rules for. Any other one may narrow it, and an answer to the wider question would be wrong."""


@frozen(kw_only=True)
class Wish:
    """What a message asks for, as far as there is a rule for it."""

    topic: str = ""
    """What it is about."""
    intent: str = "question"
    """question, request, social or action."""
    say: str = _UNKNOWN
    """What to answer where no tool is needed, or what its answer is about."""
    steps: tuple[FrozenMap, ...] = field(default=(), converter=freeze)
    """The tools, each with its arguments."""
    present_as: str = "summary"
    """summary, table or machine."""
    meanwhile: str = ""
    """What a user reads while somebody is at work."""


def wish_of(text: str) -> Wish:
    """Return what *text* asks for."""
    if text.startswith("ACTION:"):
        return Wish(topic="a click", intent="action", say=f"Nothing on the screen answers that click by itself. {_UNKNOWN}")
    if _COUNTER.search(text):
        return _counter()
    if _WALK.search(text):
        return _walk()
    said = _WORD.findall(text.lower())
    named = [word for raw in said if (word := _table(raw))]
    if not named:
        return _social(text)
    strange = [word for word in said if word not in _PLAIN and not word.isdecimal() and not _table(word)]
    if strange or len(dict.fromkeys(named)) > 1:
        return Wish()
    table = named[0]
    if _COUNT.search(text):
        query = f"SELECT COUNT(*) AS {table} FROM {table}"  # noqa: S608 - the table is one of ours
        steps = (_query(query),)
        return Wish(topic=f"number of {table}", say=f"The number of {table}.", steps=steps, meanwhile=f"Counting the {table}.")
    query = f"SELECT {COLUMNS[table]} FROM {table} ORDER BY id LIMIT {LISTED}"  # noqa: S608 - as above
    return Wish(
        topic=table,
        intent="request",
        say=f"The first {LISTED} {table}.",
        steps=(_query(query),),
        present_as="table",
        meanwhile=f"Looking the {table} up.",
    )


def _social(text: str) -> Wish:
    social = _SOCIAL.fullmatch(text.strip())
    if social is None:
        return Wish()
    say = "You are welcome." if social["thanks"] else "Goodbye." if social["bye"] else f"Hello. {_UNKNOWN}"
    return Wish(intent="social", say=say)


def _table(word: str) -> str:
    """Return the table that a word names, in the singular or the plural; empty for none."""
    return word if word in COLUMNS else f"{word}s" if f"{word}s" in COLUMNS else _WORDS.get(word, "")


def _query(query: str) -> FrozenMap:
    return _step("query_db", query=query, database=DATABASE)


def _step(tool: str, **args: Json) -> FrozenMap:
    step: FrozenMap = freeze({"tool": tool, "args": args})
    return step


def _counter() -> Wish:
    return Wish(
        topic="a counter",
        intent="request",
        say="The counter is there and stands at 0. Its buttons work without a model.",
        steps=(
            _step("set_state", key="count", value=0),
            _step(
                "emit_actions",
                actions=[
                    {"label": "+1", "action": "more", "binding": {"op": "inc", "var": "count"}},
                    {"label": "-1", "action": "fewer", "binding": {"op": "dec", "var": "count"}},
                ],
            ),
            _step("emit_display", items=[{"type": "label", "label": "Count", "var": "count"}]),
        ),
        meanwhile="Setting a counter up.",
    )


def _walk() -> Wish:
    steps = {
        "find": ("Find the meter; its number is on the bill.", "I have found it", "read"),
        "read": ("Read the figure before the comma, in kWh.", "I have read it", "send"),
        "send": ("Send the figure together with the date.", "Once more", "find"),
    }
    states = {
        name: {"actions": [{"label": label, "go": go}], "display": [{"type": "label", "label": f"Step {number}", "value": text}]}
        for number, (name, (text, label, go)) in enumerate(steps.items(), start=1)
    }
    return Wish(
        topic="a meter reading",
        intent="request",
        say="The three steps are on the screen. The buttons lead from one to the next.",
        steps=(_step("create_machine", id="reading", initial="find", states=states),),
        present_as="machine",
        meanwhile="Putting the steps together.",
    )
