"""Finds out what an applicant has to say of itself: hardware, and a data statement measured on its own rows.

The scan is a safety net, not a proof: it knows the common formats of keys and tokens, e-mail addresses, bank accounts with a right checksum
and international telephone numbers. Only counts leave the machine.
"""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from node.membership.request import DataStatement, Hardware, Source

if TYPE_CHECKING:  # imports torch
    from learning.tasks.code_search import Pair

OWN = "own"
"""Licence of a folder: code that the applicant holds the rights to."""
UNKNOWN = "unknown"
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{35}\b|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"
    r"|(?i:\b(?:password|passwd|secret|api_?key|token)\b\s*=\s*['\"][^'\"\s]{8,}['\"])"
)
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]+@(?!example\.|localhost)[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b")
_TELEPHONE = re.compile(r"(?<![\w.+])\+[1-9]\d{0,2}[ -]\d{2,4}[ -]\d{3,}(?:[ -]\d{2,})*\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_NAMED = {
    "apache": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit": "MIT",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What older packages write for SPDX identifiers."""


def hardware(device: str, accelerators: Sequence[str] = (), note: str = "") -> Hardware:
    """This machine.

    Args:
        device: setting of the node.
        accelerators: names of those found, e.g. by torch.
        note: the operator's own words.
    """
    return Hardware(
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        python=platform.python_version(),
        processors=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        device=device,
        accelerators=tuple(accelerators),
        note=note,
    )


def accelerators() -> list[str]:
    """Names of the CUDA devices that torch sees."""
    import torch  # noqa: PLC0415 - seconds of import

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def licence_of(name: str) -> tuple[str, str]:
    """(SPDX licence, version) of an installed package, as far as its metadata say; the standard library's is PSF-2.0."""
    from learning.sources.installed import STANDARD_LIBRARY  # noqa: PLC0415 - imports torch

    if name == STANDARD_LIBRARY:
        return "PSF-2.0", platform.python_version()
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return UNKNOWN, ""
    version = str(found["Version"])
    for expression in found.get_all("License-Expression") or []:
        return str(expression), version
    trove = [
        text.split("::")[-1].strip() for text in found.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    for text in (*trove, *(found.get_all("License") or [])):
        if text.strip().lower() in _NAMED:
            return _NAMED[text.strip().lower()], version
    return UNKNOWN, version


def statement(names: Sequence[str], pairs: Sequence[Pair], public: Sequence[Pair], note: str = "") -> DataStatement:
    """Measure a data statement.

    Args:
        names: settings of the repositories: installed packages, or folders (anything with a slash).
        pairs: the rows that are trained on.
        public: rows of the public benchmark, which no training row may nearly equal.
        note: the applicant's own words.
    """
    from learning.sources.near_duplicates import SeenBefore  # noqa: PLC0415 - imports torch

    rows = Counter(pair.repository for pair in pairs)
    seen = SeenBefore(public)
    texts = [f"{pair.query}\n{pair.code}" for pair in pairs]
    sources = []
    for name in names:
        shown = Path(name).expanduser().resolve().name if "/" in name else name
        licence, version = (OWN, "") if "/" in name else licence_of(name)
        sources.append(Source(shown, version, licence, rows[shown]))
    return DataStatement(
        languages=("python",),
        sources=tuple(sources),
        rows=len(pairs),
        length=sum(len(text.encode()) for text in texts),
        near_duplicates=sum(seen.check_and_add(pair) for pair in pairs),
        secrets=sum(_SECRETS.search(text) is not None for text in texts),
        personal=sum(map(_is_personal, texts)),
        note=note,
    )


def _is_personal(text: str) -> bool:
    if _EMAIL.search(text) or _TELEPHONE.search(text):
        return True
    return any(_is_iban(found.group().replace(" ", "")) for found in _IBAN.finditer(text))


def _is_iban(text: str) -> bool:
    """ISO 7064: the digits, letters as 10 to 35, with the first four characters at the end, leave 1 when divided by 97."""
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1
