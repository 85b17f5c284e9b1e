#!/bin/sh
# Makes the environment of benchmarks/ckks/measure.py (TenSEAL). Quick when nothing changed.
set -eu
cd "$(dirname "$0")/../.."
venv=${1:-.venv-ckks}
stamp=$venv/installed.txt

fail() {
  printf 'setup of CKKS: %s\n' "$1" >&2
  exit 7
}

if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && cmp -s benchmarks/ckks/requirements.txt "$stamp"; then
  exit 0
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "no $python found. Install Python 3.11 or newer, or set PYTHON=/path/to/python3."
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing TenSEAL into $venv (100 MB) …"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r benchmarks/ckks/requirements.txt ||
  fail "pip could not install TenSEAL (see above). Is there a wheel for this Python, and is a package index reachable?"
"$venv/bin/python" -c 'import numpy, tenseal' || fail "the installed packages do not import (see above). Delete $venv and try again."
cp benchmarks/ckks/requirements.txt "$stamp"
