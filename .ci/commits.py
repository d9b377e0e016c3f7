#!/usr/bin/env python3
"""Check the subjects of new commits: `area: imperative`, at most 72 characters.

New are the commits that came after this file and are not reachable from COMMITS_SINCE (an environment variable, any
revision) or, without it, from origin/main. Merges are not checked. Where there is no history to check, as in a shallow
clone or an archive, the check passes and says so.
"""

import os
import re
import subprocess
import sys

LONGEST_SUBJECT = 72

SUBJECT = re.compile(r"[a-z][a-z0-9_.,/ -]*: (?P<verb>\S+)( \S+)*")

NOT_IMPERATIVE = re.compile(
    r"[A-Z][a-z]+"
    r"|(?!(need|feed|seed|speed|embed|exceed|proceed|string|bring|focus)$)\w+(ed|ing|[^s]s)"
    r"|a|an|the|all|any|each|every|no|not|of|that|those|this|what|which|whose|where|when|how|why|it|on|in|by|as|for"
)
"""Words that do not begin an instruction. They are compared whole."""


def problem(subject: str) -> str | None:
    """Return what is wrong with a commit's subject, or None."""
    if subject.startswith('Revert "'):
        return None
    if len(subject) > LONGEST_SUBJECT:
        return f"has {len(subject)} characters; at most {LONGEST_SUBJECT} are allowed"
    match = SUBJECT.fullmatch(subject)
    if match is None:
        return "does not have the form 'area: imperative', with the area in lower case"
    if NOT_IMPERATIVE.fullmatch(match["verb"]):
        return f"does not begin with a verb in the imperative, in lower case, but with {match['verb']!r}"
    return None


def git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def new_commits() -> list[tuple[str, str]]:
    """Return (abbreviated hash, subject) of the commits to check."""
    introduced = git("log", "--diff-filter=A", "--format=%H", "--", ".ci/commits.py")
    if not introduced:
        return []
    exclude = [introduced.splitlines()[-1]]
    for base in (os.environ.get("COMMITS_SINCE"), "origin/main"):
        if base and git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}"):
            exclude.append(base)
            break
    listed = git("log", "--no-merges", "--format=%h %s", "HEAD", "--not", *exclude) or ""
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in listed.splitlines()]


def main() -> int:
    """Print the commits whose subjects break the rule."""
    commits = new_commits()
    if not commits:
        print("No new commits to check.")
    problems = [f"{commit} {subject!r} {found}." for commit, subject in commits if (found := problem(subject))]
    print("\n".join(problems), end="\n" * bool(problems))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
