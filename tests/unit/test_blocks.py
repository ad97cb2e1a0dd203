"""Fenced blocks in a model's text: which run, which are controls, and what is left for the reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from frameengine.nodes.blocks import CONTROLS_MAX, HIDDEN_TAGS, Block, ToolText, blocks, controls, has_code, readable, tool_text

PIECES = st.lists(
    st.sampled_from(
        [
            "```",
            "````",
            "~~~",
            "```python",
            "``` py x",
            "~~~sql",
            "```a`b",
            " ```",
            "   ```",
            "    ```",
            "x = 1",
            "",
            "text",
            "  y",
            "`",
        ]
    ),
    max_size=14,
)


@given(PIECES)
def test_blocks_are_paired_as_commonmark_pairs_them(lines: list[str]) -> None:
    """On lines that only fences and plain text are made of, an independent CommonMark parser finds the same blocks."""
    text = "\n".join(lines)
    tokens = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
    expected = [((token.info.split() or [""])[0].lower(), token.content.rstrip("\n")) for token in tokens]
    assert [(block.tag, block.body.rstrip("\n")) for block in blocks(text)] == expected


@given(PIECES)
def test_line_endings_do_not_matter(lines: list[str]) -> None:
    """The same text with CRLF holds the same blocks, tool call and controls."""
    unix, windows = "\n".join(lines), "\r\n".join(lines)
    assert blocks(unix) == blocks(windows)
    assert tool_text(unix) == tool_text(windows)
    assert readable(unix).split() == readable(windows).split()


@given(st.text(alphabet='`~ \n\rTOL:pyshcontrl[]{}"1', max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Whatever a model writes, reading it ends with values."""
    assert all(isinstance(block, Block) for block in blocks(text))
    found, _ = controls(text)
    assert len(found) <= CONTROLS_MAX
    assert bool(readable(text)) == bool(text.strip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\nprint(1)\n```", ToolText("python", "print(1)")),
        ("Let me see:\n```py\nprint(1)\n```\nThere.", ToolText("python", "print(1)")),
        ("```tool_code\nprint(1)\n```", ToolText("python", "print(1)")),
        ("```sql\nSELECT 1\n```", ToolText("query_db", "SELECT 1")),
        ("TOOL: weather\n```\nKassel\n```", ToolText("weather", "Kassel")),
        ("TOOL: weather\nno block", None),
        ("TOOL:\n```\nx\n```", None),
        ("no block at all", None),
        ("```python\n\n```", None),
    ],
)
def test_a_reply_asks_for_a_tool_by_its_tag_or_its_first_line(text: str, expected: ToolText | None) -> None:
    """C81: the TOOL line names a tool for the first block; else the first block that is tagged for a tool asks for it."""
    assert tool_text(text) == expected


def test_w12_prose_between_two_blocks_is_never_run() -> None:
    """W12: what stands between the end of one block and the beginning of the next is prose."""
    text = "```controls\n[]\n```\nimport os; os.remove('x')\n```json\n{}\n```"
    assert tool_text(text) is None
    assert [block.body for block in blocks(text)] == ["[]", "{}"]


def test_w13_python_that_names_sql_words_stays_python() -> None:
    """W13: code with SELECT and CREATE in it runs as what it is tagged."""
    code = 'print("SELECT a FROM b; CREATE TABLE c")'
    assert tool_text(f"```python\n{code}\n```") == ToolText("python", code)


@pytest.mark.parametrize("tag", ["sh", "bash", "shell", "", "json", "javascript"])
def test_w14_only_blocks_tagged_for_a_tool_run(tag: str) -> None:
    """W14: a shell command, an untagged block or another language is nothing that runs."""
    assert tool_text(f"```{tag}\nrm -rf x\n```") is None


@pytest.mark.parametrize("tag", HIDDEN_TAGS)
def test_w14_what_is_not_for_the_reader_is_taken_out(tag: str) -> None:
    """W14, C83: code, statements, shell commands and controls do not stand in the visible answer; other blocks do."""
    text = f"Before\n```{tag}\nhidden\n```\nAfter\n```json\nshown\n```"
    assert readable(text) == "Before\nAfter\n```json\nshown\n```"


def test_a_reply_that_is_nothing_but_blocks_is_shown_as_it_is() -> None:
    """C19: where nothing would be left to read, the reply stands as it came."""
    assert readable("```python\nx\n```") == "```python\nx\n```"


def test_a_block_without_an_end_asks_for_nothing() -> None:
    """A reply that was cut off inside a block runs nothing, and its controls are named as broken."""
    assert tool_text("```python\nimport shutil") is None
    assert controls("```controls\n[{") == ((), ("controls block 1 has no end",))


def test_controls_of_several_blocks_follow_each_other() -> None:
    """C82: valid lists are joined in order; what is none is left out, and named."""
    text = '```controls\n[{"a":1}]\n```\n```controls\nnonsense\n```\n```controls\n{"b":2}\n```\n```controls\n[{"c":3}]\n```'
    found, problems = controls(text)
    assert [dict(item) for item in found] == [{"a": 1}, {"c": 3}]
    assert [problem.split(":")[0] for problem in problems] == ["controls block 2", "controls block 3 is no list of objects"]


def test_code_that_no_tool_runs_is_noticed() -> None:
    """An untagged block counts as code that was written, a controls block does not."""
    assert has_code("```\nprint(1)\n```")
    assert not has_code("```controls\n[]\n```")
    assert not has_code("plain")


@pytest.mark.nightly
@pytest.mark.parametrize("unit", ["```\n", "```python\nx\n", "~", "`", "TOOL: x\n```", "```controls\n[\n```\n", " ", "\r"])
def test_reading_takes_linear_time(unit: str) -> None:
    """Twice the text takes at most 2.6 times as long, up to a MiB."""
    from time import process_time

    def took(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(5):
            start = process_time()
            tool_text(text)
            controls(text)
            readable(text)
            best = min(best, process_time() - start)
        return best

    assert took(1 << 20) <= 2.6 * took(1 << 19) + 0.01
