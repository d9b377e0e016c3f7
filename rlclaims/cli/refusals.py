"""Reporting of a user's mistake on the command line."""

import typer

from rlclaims.text import printable


def refused(message: str) -> typer.Exit:
    """Print a message to standard error, and return the exception to raise."""
    typer.echo(printable(message), err=True)
    return typer.Exit(2)
