SHELL := /bin/bash
COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.10 --no-annotate \
	--custom-compile-command "make constraints" requirements.txt requirements-colcon.txt requirements-dev.txt
.SHELLFLAGS := -eo pipefail -c
.PHONY: help demo lint test coverage bench gpu-check profile soak constraints setup clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

demo: ## Segment a street clip through ROS 2 and write out/demo (SOURCE=<video, folder or /dev/videoN>, MODEL=<hf://...>)
	@scripts/setup.sh $(if $(MODEL),models)
	@source scripts/env.sh && python -m ciae_ros.demo $(if $(SOURCE),--source "$(SOURCE)") $(if $(MODEL),--model "$(MODEL)") $(DEMO_ARGS)

lint: ## Check style, types and imports, and the scripts, Dockerfile and workflows
	@scripts/setup.sh dev
	@source scripts/env.sh && ruff check . && ruff format --check . && lint-imports --no-cache
	@source scripts/env.sh && if grep -qx -- "--constraints constraints.txt" .venv/.finished/versions; then mypy; else \
		echo "mypy is left out: types differ between versions, and are checked with those of constraints.txt"; fi
	@source scripts/env.sh && shellcheck scripts/*.sh docker/*.sh .github/workflows/*.sh .ci/run && hadolint docker/Dockerfile \
		&& check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml \
		&& check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml \
		&& zizmor --offline --quiet .github/workflows

test: lint ## Run all checks and tests (in a fresh clone also ROS=jazzy, PYTHON=<path>, RESOLUTION=lowest-direct or highest)
	@source scripts/env.sh && scripts/run_tests.sh $(TEST_ARGS)

coverage: ## Run all tests and say which branches of the code they did not take
	@scripts/setup.sh dev
	@source scripts/env.sh && coverage erase && scripts/run_tests.sh --cov --cov-append --cov-report= && coverage report

bench: ## Measure a frame's stages, other networks, fusion and the roofline, and write out/bench
	@scripts/setup.sh models
	@source scripts/env.sh && python -m benchmarks all $(BENCH_ARGS)

gpu-check: ## Run tests, accuracy and times of a CUDA device, and write out/gpu_check/gpu-check.md
	@scripts/setup.sh dev
	@source scripts/env.sh && python -m benchmarks gpu-check $(GPU_CHECK_ARGS)

profile: ## Trace some frames and write a trace and a table of operators to out/profile
	@scripts/setup.sh
	@source scripts/env.sh && python -m benchmarks profile $(PROFILE_ARGS)

soak: ## Run three cameras, one of them misbehaving, for MINUTES=30, and write out/soak
	@scripts/setup.sh dev
	@source scripts/env.sh && python -m tests.soak --minutes $(or $(MINUTES),30) $(SOAK_ARGS)

constraints: ## Update the constraints to changed requirements (CONSTRAINTS_ARGS=--upgrade: to the newest versions)
	@scripts/setup.sh
	@$(COMPILE) --output-file constraints.txt $(CONSTRAINTS_ARGS)
	@$(COMPILE) requirements-numpy1.txt --output-file constraints-numpy1.txt $(CONSTRAINTS_ARGS)

setup: ## Install everything without running anything
	@scripts/setup.sh dev

clean: ## Remove what set-up, builds and demos have written
	rm -rf .venv .setup.lock build install log out
