#!/bin/sh
# Makes the Python environment. Says plainly what is missing.
set -eu
venv=${1:-.venv}

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 7
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "no $python found. Install Python 3.11 or newer, or set PYTHON=/path/to/python3."
"$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old. Install Python 3.11 or newer, or set PYTHON=/path/to/python3."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv."
# fastecdsa (a dependency of libp2p) is compiled on installation.
command -v cc >/dev/null 2>&1 || fail "no C compiler found (libp2p needs one). On Debian or Ubuntu: apt-get install gcc python3-dev libgmp-dev."
printf '#include <gmp.h>\n' | cc -E - >/dev/null 2>&1 ||
  fail "GMP's header gmp.h is missing (libp2p needs it). On Debian or Ubuntu: apt-get install libgmp-dev."

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing Python packages into $venv (a minute or two) …"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24'
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' ||
  fail "pip could not install the packages (see above). Is a package index reachable?"
