"""The audit as one self-contained HTML page: no script, no external request, light and dark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from node.audit.base import Finding
from node.audit.report import AuditReport, RoundRow

MOST_DIFFERENCES = 500
NOT_TOLD = (
    "Nonces of signatures (permit, delegation and votes by signature): no event tells them.",
    "What strangers' contracts took out of an allowance: a transfer does not say who asked for it.",
    "Transfers of tokens other than CWT: their events are not this community's.",
    "Block hashes that the endpoint no longer serves: those seeds are counted as not checked.",
    "Whether this endpoint shows the same chain as everybody else's: compare the block's hash with another's.",
)
STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--muted:#5d6975;--line:#dfe5ea;--paper:#fbfcfd;--card:#fff;--good:#1f7244;--bad:#a82f22}
@media (prefers-color-scheme:dark){:root{
--ink:#e4eaf0;--muted:#9fb0bf;--line:#2b3640;--paper:#12181e;--card:#1a222a;--good:#5cc48c;--bad:#f08577}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.6rem;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p{margin:.4rem 0}
.lead,.muted{color:var(--muted)}
.verdict{border-left:.35rem solid var(--good);background:var(--card);padding:.9rem 1.1rem;margin:1.4rem 0;border-radius:.3rem}
.verdict.bad{border-color:var(--bad)}
.verdict strong{color:var(--good)}
.verdict.bad strong{color:var(--bad)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:var(--card);font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);padding:.2rem 0 .5rem}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
th[scope=col]{color:var(--muted);font-weight:600;font-size:.85rem}
td.n,th.n{text-align:right}
code{font:.85em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.good{color:var(--good)}
.bad{color:var(--bad)}
ol,ul{padding-left:1.3rem}
li{margin:.35rem 0}
"""


def page(report: AuditReport) -> str:
    """The whole document.

    Args:
        report: of a finished audit.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = "Audit: the history adds up" if report.ok else "Audit: the history does not add up"
    body = "".join((_verdict(report), _rounds(report.rounds), _checked(report), _differences(report), _limits()))
    first, last = report.blocks
    lead = (
        f"Chain {report.chain_id}, blocks {first} to {last}, {report.state.events} events, "
        f"{len(report.rounds)} rounds; {report.seconds:.1f} seconds."
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}</main>\n</body>\n</html>\n'
    )


def _verdict(report: AuditReport) -> str:
    if report.ok:
        total = sum(report.checked.values())
        return (
            f'<div class="verdict"><p><strong>No difference.</strong> {total:,} checks; everything was rebuilt from the chain\'s '
            "events and the files they name.</p></div>\n"
        )
    first, count = report.differences[0], len(report.differences)
    return (
        f'<div class="verdict bad" role="alert"><p><strong>{count} {"difference" if count == 1 else "differences"}.</strong> '
        f"The first, at {_where(first)}:</p><p>{escape(first.what)}</p></div>\n"
    )


def _where(finding: Finding) -> str:
    if not finding.transaction:
        return f"block {finding.block} (what the contracts answer)"
    return f"block {finding.block}, transaction <code>{escape(finding.transaction)}</code>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns that end in ``#`` are numbers; cells are HTML."""
    numbers = [column.endswith("#") for column in columns]
    heads = "".join(
        f'<th scope="col"{_number(is_number)}>{escape(column.rstrip("#"))}</th>'
        for column, is_number in zip(columns, numbers, strict=True)
    )
    lines = "".join(
        "<tr>" + "".join(f"<td{_number(n)}>{cell}</td>" for cell, n in zip(row, numbers, strict=True)) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{lines}</tbody></table></div>\n"
    )


def _number(is_number: bool) -> str:  # noqa: FBT001 - a column is one or not
    return ' class="n"' if is_number else ""


def _rounds(rows: Sequence[RoundRow]) -> str:
    if not rows:
        return "<h2>Rounds</h2>\n<p>None was opened.</p>\n"
    columns = (
        "round#",
        "phase",
        "opened in block#",
        "updates#",
        "accepted#",
        "attested#",
        "model",
        "scored again#",
        "differences#",
    )
    body = _table(
        "Each round as rebuilt from events; the model of a final round is aggregated again from its updates.",
        columns,
        (
            (
                str(row.number),
                escape(row.phase.lower()),
                str(row.block),
                str(row.participants),
                str(row.accepted),
                f"{row.votes} of {row.slots}",
                _model(row),
                str(row.rescored),
                f'<span class="bad">{row.findings}</span>' if row.findings else "0",
            )
            for row in rows
        ),
    )
    return f"<h2>Rounds</h2>\n{body}"


def _model(row: RoundRow) -> str:
    if not row.model:
        return '<span class="muted">none</span>'
    short = f"<code>{row.model[:16]}…</code>"
    if row.is_derived:
        return f'{short} <span class="good">same bytes</span>'
    return f'{short} <span class="muted">not derived</span>'


def _checked(report: AuditReport) -> str:
    rows = ((escape(what), f"{times:,}") for what, times in sorted(report.checked.items()))
    return f"<h2>What was checked</h2>\n{_table('How often each kind of thing was held against the rules.', ('what', 'times#'), rows)}"


def _differences(report: AuditReport) -> str:
    if report.ok:
        return ""
    shown = report.differences[:MOST_DIFFERENCES]
    items = "".join(f'<li>{escape(one.what)}<br><span class="muted">{_where(one)}</span></li>\n' for one in shown)
    left = len(report.differences) - len(shown)
    more = f"<p>{left} more are in the JSON.</p>\n" if left else ""
    return f"<h2>All differences</h2>\n<ol>\n{items}</ol>\n{more}"


def _limits() -> str:
    items = "".join(f"<li>{escape(line)}</li>\n" for line in NOT_TOLD)
    return f"<h2>What an audit cannot tell</h2>\n<ul>\n{items}</ul>\n"
