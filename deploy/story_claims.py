"""What the story claims, each true or false by the numbers of its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.summary import Claim


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """All claims of a summary; the required ones decide the exit code."""
    weak, releases, join = summary["weakness"], summary["releases"], summary["join"]
    name, public = weak["kind"], releases[-1]["scores"]["public"] - releases[0]["scores"]["public"]
    on_test_set = releases[-1]["scores"][name] - weak["ppm"][name]
    others = {kind: change for kind, change in summary["changes_ppm"].items() if kind != name}
    gained = next(row["change"] for row in join["measured"] if row["benchmark"] == f"test set {name}")
    trained = summary["newcomer"]["verdicts"]
    return [
        Claim("a first release was voted for and published", bool(releases[0]["executed"])),
        Claim(
            f"the release is weaker on {name} ({weak['ppm'][name] / 1e6:.4f}) than on equally many public rows "
            f"({weak['ppm']['public'] / 1e6:.4f})",
            weak["ppm"][name] < weak["ppm"]["public"],
        ),
        Claim(
            f"its sample update gains on its test set, as the committee measures it ({gained:+.4f})",
            gained > 0,
        ),
        Claim("people at two seats reviewed it, and their reasons can be fetched", join["reasons"] >= 2),
        Claim("it was admitted and its grant is at stake", join["admitted"]),
        Claim(f"at least one of its updates was accepted ({', '.join(trained) or 'none'})", "ACCEPTED" in trained),
        Claim(f"its test set became the benchmark {name} by vote", name in releases[-1]["scores"]),
        Claim("a second release was voted for and published", bool(releases[-1]["executed"])),
        Claim(f"the second release is better on {name} ({on_test_set / 1e6:+.4f})", on_test_set > 0),
        Claim(
            f"it is no worse on the public benchmark than the guideline allows ({public / 1e6:+.4f})",
            public >= -summary["max_regression_ppm"],
        ),
        Claim(
            "it is no worse on any other kind than the guideline allows "
            f"({', '.join(f'{kind} {change / 1e6:+.4f}' for kind, change in others.items())})",
            all(change >= -summary["max_regression_ppm"] for change in others.values()),
        ),
        Claim("the audit of the whole history finds nothing", summary["audit"]["ok"]),
        Claim(
            f"goal: it gains more on {name} than on the public benchmark ({on_test_set / 1e6:+.4f}, {public / 1e6:+.4f})",
            on_test_set > public,
            required=False,
        ),
    ]
