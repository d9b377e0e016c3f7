"""Measure the overhead of the plugin in a project without claims: `pytest --collect-only` with and without it.

Sessions with and without it alternate, each in its own process, on a folder with one plain test. Printed are medians
of both sides and of their differences in milliseconds of processor time, with the first and the last decile.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = "rlclaims.pytest_plugin.plugin"


def seconds(folder: Path, *options: str) -> float:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    # Other plugins would only add noise to both sides.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, milliseconds: list[float]) -> str:
    low, *_, high = statistics.quantiles(milliseconds, n=10)
    return f"{name:<22} {statistics.median(milliseconds):7.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="pairs of sessions (default: 40)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_plain.py").write_text("def test_plain():\n    pass\n")
        sides = {"without rlclaims": (), "with rlclaims": ("-p", OURS)}
        times: dict[str, list[float]] = {side: [] for side in sides}
        seconds(folder)  # warm up: the first session compiles to bytecode
        for i in range(rounds):
            for side in list(sides)[:: 1 if i % 2 else -1]:
                times[side].append(1000 * seconds(folder, *sides[side]))
    without, with_it = times.values()
    for side, milliseconds in times.items():
        print(row(side, milliseconds))
    print(row("difference", [b - a for a, b in zip(without, with_it, strict=True)]))


if __name__ == "__main__":
    main()
