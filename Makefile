# Two commands matter: `make run` and `make test`. The rest are parts of them, or for releases.
SHELL := /bin/bash

.PHONY: run test dist demo lint format deny bench setup clean help

help: ## Says what each command does.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## Sets up what is missing and starts the studio; prints its address.
	@scripts/run

test: ## Sets up and starts what the tests need, and runs everything.
	@scripts/test

demo: ## Drives one real job through a running studio (BACKLOT_URL, or the default address).
	@scripts/demo

lint: ## Formatting and clippy, as the tests run them.
	@scripts/test --only lint

format: ## Formats all Rust code.
	@cargo fmt --all

deny: ## Licences, sources and duplicate crates; advisories are the pipeline's.
	@command -v cargo-deny >/dev/null || { echo "make deny: cargo-deny is missing. Install it: cargo install cargo-deny --locked" >&2; exit 1; }
	@cargo deny --locked check licenses bans sources

bench: ## Start, memory, no-op job: the figures of docs/figures.md.
	@scripts/bench

dist: ## A static binary with the web app inside: dist/backlot.
	@scripts/dist

setup: ## Only sets up what is missing.
	@scripts/setup

clean: ## Removes what was built; keeps data and caches.
	@cargo clean
	@rm -rf dist web/dist
