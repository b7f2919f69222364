"""A chapter as its file has it: blocks to run, outputs to expect, numbers to check, each by line.

What is looked for, and all of it is Markdown that any viewer shows as it should be:

    a python block                            run, after those before it, in one namespace
    a text block directly after it            what it prints
    <!-- varies --> before such a text block  its numbers are of a machine: any will do
    <!-- source: module.name --> before a     an excerpt: equal to the source, and not run
        python block
    0.281<!-- = loss -->                      a number in the text, and what it is
    ![alt text](figures/x.svg), [text](y.md)  pictures and links
    <details> ... </details>                  solutions, whose blocks run like the others
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from llm_explainer.errors import ConfigError

_NAME = re.compile(r"(?P<number>\d\d) - (?P<name>\w+)\.md")
_FENCE = re.compile(r"(?P<ticks>```+)(?P<language>\w*)\s*")
_LOST_FENCE = re.compile(r"[\s>]*(```|~~~)")
_MARK = re.compile(r"<!--\s*(=|source\b|varies\b)")
_SOURCE = re.compile(r"<!-- source: (?P<name>[\w.]+)(?: lines: (?P<lines>.+?))? -->")
_VARIES = "<!-- varies -->"
_VALUE = re.compile(
    r"(?P<shown>`[^`\n]+`|[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)?(?P<unit>[*_$]*\s?%?)"
    r"<!-- =\s(?P<expression>.+?)\s-->",
    re.DOTALL,
)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]+`")
_HEADING = re.compile(r"(?P<level>#+) +(?P<text>.+)")
_MINUTES = re.compile(r"(\d+) minutes")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str  # ends with a line break, if it isn't empty
    line: int  # of its first line of text, counted from 1
    source: str = ""  # of an excerpt: module and name
    part: str = ""  # of an excerpt: its first and last line, " ... " between them
    varies: bool = False
    expected: Block | None = None  # of a python block: the text block of what it prints
    in_solution: bool = False

    @property
    def end(self) -> int:
        """Number of the last line that belongs to it, with its expected output."""
        last = self.expected or self
        return last.line + last.text.count("\n")

    @property
    def runs(self) -> bool:
        """Whether this is Python to run."""
        return self.language == "python" and not self.source


@dataclass(frozen=True)
class Value:
    """A number in the text, or words in code style, with the expression that gives it."""

    shown: str
    expression: str
    line: int


@dataclass(frozen=True)
class Link:
    """A link or a picture, of which ``text`` says what one sees."""

    text: str
    target: str
    line: int
    is_picture: bool


@dataclass(frozen=True)
class Heading:
    """A heading, and the name by which links find it."""

    text: str
    level: int
    line: int
    anchor: str


@dataclass(frozen=True)
class Chapter:
    """All that a chapter's file holds, in the file's order."""

    path: Path
    number: int
    title: str
    question: str
    minutes: int
    text: str
    steps: tuple[Block | Value, ...]
    links: tuple[Link, ...]
    headings: tuple[Heading, ...]

    @property
    def blocks(self) -> list[Block]:
        """Its fenced blocks, but for expected outputs, which are part of what prints them."""
        return [step for step in self.steps if isinstance(step, Block)]

    @property
    def solutions(self) -> int:
        """How many solutions it holds."""
        return self.text.count("<summary>Solution</summary>")


def find_chapters(folder: Path) -> dict[int, Path]:
    """Return the chapters' files in a folder by their numbers, in order."""
    found = {}
    for path in sorted(folder.glob("*.md")):
        if match := _NAME.fullmatch(path.name):
            found[int(match["number"])] = path
    return found


def read_chapter(path: Path) -> Chapter:
    """Return a chapter.

    Raises:
        ConfigError: a block that doesn't end, or a value without a number before it.
        OSError: it cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    match = _NAME.fullmatch(path.name)
    blocks, prose = _split(path.name, text)
    values = _values(path.name, prose)
    _refuse_lost_marks(path.name, prose, blocks)
    headings = _headings(prose)
    titles = [heading.text for heading in headings if heading.level == 1]
    minutes = _MINUTES.search(text)
    return Chapter(
        path=path,
        number=int(match["number"]) if match else 0,
        title=titles[0] if titles else path.stem,
        question=_question(prose),
        minutes=int(minutes[1]) if minutes else 0,
        text=text,
        steps=tuple(sorted((*blocks, *values), key=lambda step: step.line)),
        links=tuple(_links(prose)),
        headings=tuple(headings),
    )


def _split(name: str, text: str) -> tuple[list[Block], str]:
    """Return the blocks, and the text in which their lines are empty."""
    lines = text.splitlines()
    blocks: list[Block] = []
    prose = list(lines)
    depth = 0  # of <details>
    i = 0
    while i < len(lines):
        depth += lines[i].count("<details>") - lines[i].count("</details>")
        fence = _FENCE.fullmatch(lines[i])
        if fence is None and _LOST_FENCE.match(lines[i]):
            raise ConfigError(f"{name}:{i + 1}: a fence that isn't alone at the line's beginning")
        if fence is None:
            i += 1
            continue
        try:
            end = lines.index(fence["ticks"], i + 1)
        except ValueError:
            raise ConfigError(f"{name}:{i + 1}: a block that doesn't end") from None
        before = lines[i - 1].strip() if i else ""
        source = _SOURCE.fullmatch(before)
        block = Block(
            fence["language"],
            "".join(f"{line}\n" for line in lines[i + 1 : end]),
            i + 2,
            source["name"] if source else "",
            (source["lines"] or "") if source else "",
            before == _VARIES,
            in_solution=depth > 0,
        )
        between = "".join(prose[blocks[-1].end : i]) if blocks else ""
        if block.language == "text" and blocks and between.strip() in ("", _VARIES):
            block = _expect(blocks, block)
        else:
            blocks.append(block)
        prose[i : end + 1] = [""] * (end + 1 - i)
        i = end + 1
    return blocks, "\n".join(prose)


def _expect(blocks: list[Block], output: Block) -> Block:
    """Let the last block expect an output, if it is run; otherwise it stands for itself."""
    last = blocks[-1]
    if not last.runs or last.expected is not None:
        blocks.append(output)
        return output
    fields = {**last.__dict__, "expected": output}
    blocks[-1] = Block(**fields)
    return blocks[-1]


def _values(name: str, prose: str) -> list[Value]:
    values = []
    for match in _VALUE.finditer(prose):
        line = prose.count("\n", 0, match.start()) + 1
        if not match["shown"]:
            raise ConfigError(f"{name}:{line}: no number before <!-- = {match['expression']} -->")
        values.append(Value(match["shown"], " ".join(match["expression"].split()), line))
    return values


def _refuse_lost_marks(name: str, prose: str, blocks: list[Block]) -> None:
    """Raise for a mark that marks nothing: what it was meant to check would go unchecked."""
    values = {match.end("unit") for match in _VALUE.finditer(prose)}
    lines = {block.line - 2 for block in blocks if block.source}
    outputs = [block.expected for block in blocks if block.expected is not None]
    lines |= {output.line - 2 for output in outputs if output.varies}
    for match in _MARK.finditer(prose):
        line = prose.count("\n", 0, match.start()) + 1
        if match.start() not in values and line not in lines:
            raise ConfigError(f"{name}:{line}: a mark {match[0]} that marks nothing")


def _links(prose: str) -> list[Link]:
    found = []
    # Code is text, not a link; as many letters, so that places stay.
    text = _CODE.sub(lambda code: code[0] if "](" not in code[0] else " " * len(code[0]), prose)
    for match in _LINK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Link(match["text"], match["target"], line, bool(match["picture"])))
    return found


def _headings(prose: str) -> list[Heading]:
    found: list[Heading] = []
    for number, line in enumerate(prose.splitlines(), 1):
        if match := _HEADING.fullmatch(line):
            anchor = anchor_of(match["text"])
            same = sum(
                re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", h.anchor) is not None for h in found
            )
            anchor = f"{anchor}-{same}" if same else anchor
            found.append(Heading(match["text"], len(match["level"]), number, anchor))
    return found


def anchor_of(heading: str) -> str:
    """Return the name that GitHub gives a heading.

    >>> anchor_of("By hand: `softmax`, row by row")
    'by-hand-softmax-row-by-row'
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _question(prose: str) -> str:
    """Return the chapter's question: after that word in bold, or its first paragraph."""
    paragraphs = [" ".join(p.split()) for p in prose.split("\n\n")]
    texts = [p for p in paragraphs if p and not p.startswith(("#", "<!--", "!["))]
    for text in texts:
        if match := re.match(r"(?:> )?\*\*(?:The )?[Qq]uestion[.:]?\*\*[.:]? *(.+)", text):
            return match[1]
    return texts[0].removeprefix("> ") if texts else ""
