#!/usr/bin/env python3
"""Check the words of the code: how docstrings begin, how long test names are, and a list of phrases to avoid.

`make check` runs it on the whole repository. Findings are printed as file:line; the exit status is 1 if there are any.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("rlclaims", "claims", "benchmarks", "tests")
"""Folders whose Python files are checked."""

FRAGMENTS = frozenset(
    ["As", "By", "For", "How", "Of", "On", "That", "Those", "What", "Where", "Whether", "Which", "Who", "Whose", "Why"]
)
"""Words that begin a fragment: a docstring begins with a verb (functions) or a noun (modules, classes, fields)."""

LONGEST_TEST_NAME = 60

# One phrase per line: edit freely.
PHRASES = """
is told
are told
tells
is none
are none
there is none of
anew
its like
somebody
whatever
set aside
"""


def pattern(phrase: str) -> str:
    """Return a regular expression for the phrase, also across lines and at the beginning of a sentence."""
    return f"[{phrase[0]}{phrase[0].upper()}]" + r"\s+".join(phrase[1:].split(" "))


PHRASE = re.compile(rf"\b({'|'.join(map(pattern, PHRASES.strip().splitlines()))})\b")
TEXTS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of the docstrings of modules, classes, functions and fields (strings after an assignment)."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            continue
        for previous, statement in zip([None, *node.body], node.body, strict=False):
            if previous is None or isinstance(previous, (ast.Assign, ast.AnnAssign)):
                match statement:
                    case ast.Expr(lineno=line, value=ast.Constant(value=str(text))):
                        yield line, text


def findings(source: str, *, phrases: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, message) for each finding in the source of a Python file."""
    tree = ast.parse(source)
    for line, text in docstrings(tree):
        first = text.split(maxsplit=1)[:1]
        if FRAGMENTS.intersection(first):
            yield line, f"docstring begins with the fragment {first[0]!r}"
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and node.name.startswith("test_") and len(node.name) > LONGEST_TEST_NAME:
            yield node.lineno, f"test name of {len(node.name)} characters (at most {LONGEST_TEST_NAME}): {node.name}"
    if phrases:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in TEXTS:
                for found in PHRASE.finditer(token.string):
                    line = token.start[0] + token.string.count("\n", 0, found.start())
                    yield line, f"phrase to avoid: {' '.join(found[0].split())!r}"


def main() -> int:
    """Print the findings of the repository and their number per folder."""
    root = Path(__file__).resolve().parents[1]
    total = 0
    for folder in FOLDERS:
        count = 0
        for path in sorted((root / folder).rglob("*.py")):
            for line, message in sorted(findings(path.read_text(encoding="utf-8"), phrases=folder == "rlclaims")):
                print(f"{path.relative_to(root)}:{line}: {message}")
                count += 1
        if count:
            print(f"{folder}/: {count} findings")
        total += count
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
