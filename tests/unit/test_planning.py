"""The rule by which the Director of v1 plans a message or leaves it to the Thinker."""

from __future__ import annotations

import pytest

from frameengine.messages import Command, InputAnalysis
from frameengine.nodes.planning import needs_plan


def command(text: str, *, intent: str = "request", complexity: str = "simple") -> Command:
    """Return a message that was understood."""
    return Command(analysis=InputAnalysis(intent=intent, complexity=complexity), source_text=text)


@pytest.mark.parametrize(
    ("text", "planned"),
    [
        ("please show me the table of all bills", False),
        ("please show me the table of all the bills", True),
        ("please tell me how many bills went out this year", True),
        ("bitte untersuche doch mal die Umsätze und Kunden dieses Jahres", True),
        ("please send the customers a friendly letter about the winter", True),
        ("please write me a friendly letter about the last cold winter", False),
    ],
)
def test_a_longer_request_that_names_data_is_planned(text: str, planned: bool) -> None:
    """C50: a request of more than eight words that names data needs a plan; a shorter one, or one about something else, none."""
    assert needs_plan(command(text)) is planned


@pytest.mark.parametrize(
    "text",
    [
        "please take my feedback on the last letter into account next time",
        "please make the waiting room a little more comfortable for the old people",
        "please write down my objection to the letter that came last week",
    ],
)
def test_w10_data_words_inside_other_words_do_not_count(text: str) -> None:
    """W10: "feedback" holds "db", "comfortable" holds "table", "objection" holds "object", and none of them names data."""
    assert len(text.split()) > 8
    assert not needs_plan(command(text))


def test_a_complex_message_is_planned_whatever_it_says() -> None:
    """C50: complexity alone is enough, also for a question."""
    assert needs_plan(command("why?", intent="question", complexity="complex"))


def test_a_question_is_not_planned_for_its_words() -> None:
    """C50: the rule of words is for requests and actions."""
    text = "please tell me how many customers are in the database"
    assert [needs_plan(command(text, intent=intent)) for intent in ("request", "action", "question", "social")] == [
        True,
        True,
        False,
        False,
    ]
