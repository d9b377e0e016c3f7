"""The page of a session, one file that needs no network: every claim with its verdict and its evidence.

Everything on it comes from `claims.json` and is escaped: a name is text, with any characters.
"""

from rlclaims.report.page.write import Surface, plotly, write_page

__all__ = ["Surface", "plotly", "write_page"]
