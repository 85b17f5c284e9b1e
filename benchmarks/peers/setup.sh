#!/bin/sh
# Makes the environment of the libraries that benchmarks/aggregation.py compares with (Flower, byzfl). Quick when nothing changed.
set -eu
cd "$(dirname "$0")/../.."
peers=benchmarks/peers
venv=${1:-.venv-peers}
stamp=$venv/installed.txt

fail() {
  printf 'setup of the peers: %s\n' "$1" >&2
  exit 7
}

wanted() {
  cat $peers/requirements.txt $peers/requirements-alone.txt
}

if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(wanted)" = "$(cat "$stamp")" ]; then
  exit 0
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "no $python found. Install Python 3.11 or newer, or set PYTHON=/path/to/python3."
"$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old. Install Python 3.11 or newer, or set PYTHON=/path/to/python3."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv."

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing Flower and byzfl into $venv (about a minute, 1.5 GB) …"
pip() {
  "$venv/bin/python" -m pip "$@" --quiet --disable-pip-version-check
}
# byzfl stands in nobody's requirements: pip warns that what it wants is absent, which is meant.
pip install -r $peers/requirements.txt || fail "pip could not install Flower (see above). Is a package index reachable?"
pip install --no-deps -r $peers/requirements-alone.txt || fail "pip could not install byzfl (see above)."
"$venv/bin/python" -c 'import flwr.server.strategy.aggregate, numba, scipy, torch' ||
  fail "the installed packages do not import (see above). Delete $venv and try again."
wanted >"$stamp"
