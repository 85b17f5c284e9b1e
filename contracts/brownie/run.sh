#!/bin/sh
# Runs eth-brownie on our contracts, in an environment of its own and on Anvil:
#
#   contracts/brownie/run.sh test          the tests of this folder
#   contracts/brownie/run.sh console       a Python prompt with the contracts compiled and Anvil running
#   contracts/brownie/run.sh compile
#
# BROWNIE_VENV names the environment (default .venv-brownie at the root); it is made where it is missing. Brownie keeps its own files in
# build/brownie-home instead of the home folder. Exit codes: 7 something is missing, others as Brownie's.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
venv=${BROWNIE_VENV:-$root/.venv-brownie}

fail() {
  printf '%s\n' "contracts/brownie/run.sh: $1" "  try:  $2" >&2
  exit 7
}

[ -x ../.bin/anvil ] || fail "Anvil is missing" "make setup"
if [ ! -f "$venv/installed.txt" ] || ! cmp -s requirements.txt "$venv/installed.txt"; then
  python=${PYTHON:-python3}
  "$python" -c 'import sys, venv, ensurepip; raise SystemExit(not (3, 10) <= sys.version_info < (3, 13))' ||
    fail "eth-brownie needs Python 3.10 to 3.12 with venv" "PYTHON=/path/to/python3.11, or apt-get install python3-venv"
  echo "Installing eth-brownie into $venv (about a minute) …"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt ||
    fail "pip could not install eth-brownie (see above)" "is a package index reachable?"
  cp requirements.txt "$venv/installed.txt"
fi

# The project is put together in build/brownie: Brownie writes folders of its own beside its configuration.
project=$root/build/brownie
home=$root/build/brownie-home
mkdir -p "$home/solc" "$project"
ln -sfn "$root/contracts/tools/solc" "$home/solc/solc-v0.8.34" # py-solc-x looks for a binary of that name
ln -sfn "$root/contracts/src" "$project/contracts"
ln -sfn "$root/contracts/node_modules" "$project/node_modules"
rm -rf "$project/tests"
cp -r tests brownie-config.yaml pytest.ini "$project/"
HOME=$home
SOLCX_BINARY_PATH=$home/solc
PATH=$root/contracts/.bin:$venv/bin:$PATH
export HOME SOLCX_BINARY_PATH PATH
cd "$project"
# Brownie attaches to whatever answers on its port and rewinds it between tests: give it a free port, never somebody's chain.
networks=$home/.brownie/network-config.yaml
[ -f "$networks" ] || "$venv/bin/brownie" networks list >/dev/null
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed -i -E "/^development:/,\$ s/port: [0-9]+/port: $port/" "$networks"
exec "$venv/bin/brownie" "$@"
