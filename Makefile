# Every target sets up what it needs in .venv first.
# Torch's threads then do not spin while they wait, which on a busy machine costs more than it gains.
export OMP_WAIT_POLICY ?= PASSIVE

PYTHON ?= python3
export TEXT ?= Hello world.
TEXTS ?= texts.txt
# For `make bench`: a checkout of NVIDIA/DeepLearningExamples to compare with; a folder for JSON.
NVIDIA ?=
JSON ?=
RECORDINGS ?=
START ?=
OUT ?=
WORK ?= work
WORDS ?= $(wildcard /usr/share/dict/american-english)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: say test slow parity lint type bench bench-attention bench-batch bench-book bench-gpu bench-load bench-precision bench-start kernels ray quality voice clean

say: .venv/say  ## speak TEXT into speech.wav with the built-in voice
	$(BIN)/ttscli synth "$$TEXT" -o speech.wav

test: .venv/dev  ## run the tests
	$(BIN)/python -m pytest

slow: .venv/dev  ## run the slow tests too
	$(BIN)/python -m pytest -m "not gpu and not ray"

parity: .venv/dev  ## show the largest differences to NVIDIA's models
	$(BIN)/python -m pytest -v --no-header -o addopts= -m "not slow" tests/test_tacotron2.py tests/test_waveglow.py tests/test_denoiser.py tests/test_mel.py

lint: .venv/dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: .venv/dev  ## check types
	$(BIN)/mypy

bench: .venv/say  ## measure speed: ratios to plain baselines in the same run
	$(BIN)/python benchmarks/speed.py $(if $(JSON),--json >$(JSON)/speed.json)
	$(BIN)/python benchmarks/stages.py $(NVIDIA:%=--nvidia % --slow) $(if $(JSON),--json >$(JSON)/stages.json)

bench-start: .venv/say  ## take the start of a one-shot apart
	$(BIN)/python benchmarks/start.py

bench-load: .venv/dev  ## import full-size random voices in each format, and measure how they load
	$(BIN)/python benchmarks/full_size.py

bench-batch: .venv/say  ## measure batch against a loop of synth, two workers against one, 100,000 lines
	$(BIN)/python benchmarks/batch.py

bench-book: .venv/say  ## speak a book of 100,000 words made of LINES, a file with a sentence a line
	$(BIN)/python benchmarks/book.py $(LINES) $(WORDCOUNT:%=--words %)

bench-attention: .venv/train  ## count what fails the attention check, what retries mend, what it misses
	$(BIN)/python benchmarks/attention.py $(LINES) $(if $(JSON),--json >$(JSON)/attention.json)

bench-precision: .venv/train  ## measure what half precision does to the mel, and to a listener
	$(BIN)/python benchmarks/precision.py

bench-gpu: .venv/say  ## measure all of it on an NVIDIA GPU
	$(BIN)/python benchmarks/gpu.py $(NVIDIA:%=--nvidia %) $(if $(JSON),--json >$(JSON)/gpu.json)

kernels: .venv/kernels  ## run the tests of the GPU's kernels, in Triton's interpreter where there is no GPU
	$(BIN)/python -m pytest -k kernel tests

ray: .venv/ray  ## run the tests of the Ray engine, on a cluster of several nodes on this machine
	$(BIN)/python -m pytest -o addopts= -q -m ray

quality: .venv/train  ## measure the built-in voice on sentences it has not seen
	$(BIN)/python -m ttscli.training quality $(HELDOUT) --work $(WORK)

voice: .venv/train  ## make a voice of TEXTS, a file with a sentence a line, or of RECORDINGS, a folder
	$(BIN)/python -m ttscli.training voice "$(or $(RECORDINGS),$(TEXTS))" $(if $(RECORDINGS),,$(WORDS:%=--words %)) $(START:%=--start %) $(OUT:%=--out %) --work $(WORK)

clean:  ## remove what these targets made, but for work/, where a voice in training lives
	rm -rf .venv build dist speech.wav .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/say: .venv/python requirements.lock pyproject.toml
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --editable .
	touch $@

.venv/dev: .venv/say requirements-dev.lock
	$(PIP) -r requirements-dev.lock
	touch $@

.venv/ray: .venv/dev requirements-ray.lock
	$(PIP) -r requirements-ray.lock
	touch $@

.venv/kernels: .venv/dev requirements-kernels.lock
	$(BIN)/python -c "import triton" 2>/dev/null || $(PIP) -r requirements-kernels.lock
	touch $@

.venv/train: .venv/say requirements-train.lock
	$(PIP) -r requirements-train.lock
	touch $@
