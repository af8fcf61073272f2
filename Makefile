# Two commands for a newcomer: `make demo` and `make test`. Everything lands in .venv/ and artifacts/.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# torch is pinned to a release whose CPU wheel is small; a plain `torch` may pull gigabytes of CUDA packages.
TORCH := torch==2.13.0
OUT := artifacts
PHOTO := reference/photos/coffee.png

.PHONY: demo test lint clean

demo: $(VENV)/run.stamp
	$(BIN)/ganport convert --to onnx,mxnet,trt -o $(OUT) --overwrite
	$(BIN)/ganport convert --pipeline --to onnx,trt -o $(OUT) --overwrite
	$(BIN)/ganport inpaint $(PHOTO) reference/photos/coffee-mask.png --bundle $(OUT)/edgeconnect -o $(OUT)/coffee-inpainted.png

test: $(VENV)/dev.stamp lint
	$(BIN)/python -m pytest -q --durations=15

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch first and by its pin, so that nothing else pulls another build of it.
$(VENV)/run.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable '.[mxnet,tensorrt]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/pip install --quiet --editable '.[mxnet,tensorrt,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
