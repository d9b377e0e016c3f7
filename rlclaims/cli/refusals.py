"""A mistake in what a command is given, in a sentence."""

import typer

from rlclaims.text import printable


def refused(sentence: str) -> typer.Exit:
    """Say a sentence on standard error; what to raise then."""
    typer.echo(printable(sentence), err=True)
    return typer.Exit(2)
