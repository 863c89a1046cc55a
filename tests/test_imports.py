"""Imports go one way, and looking at the help loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ttscli"
FOR_ALL = {"counts", "errors", "events", "__init__"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"speech", "synthesizer"},
    "__main__": {"cli"},
    "cli": {
        "batch",
        "batch_console",
        "cli_download",
        "console",
        "explain",
        "inputs",
        "options",
        "outputs",
        "synthesizer",
        "voices",
    },
    "cli_download": {"console_download", "download", "options", "registry"},
    "options": set(),
    "batch": {
        "attention",
        "audio",
        "devices",
        "files",
        "inputs",
        "resampling",
        "speech",
        "subtitles",
        "synthesizer",
        "tempo",
        "text",
        "voices",
    },
    "batch_console": {"console"},
    "console": {"files"},
    "console_download": {"console"},
    "download": {"checkpoints", "files", "registry", "text", "vocoders", "voices"},
    "explain": {"text", "voices"},
    "speech": {"attention", "audio", "timings"},
    "readings": set(),
    "retries": {"attention", "readings", "tempo", "text"},
    "synthesizer": {
        "attention",
        "audio",
        "devices",
        "engines",
        "readings",
        "retries",
        "speech",
        "tempo",
        "text",
        "timings",
        "vocoders",
        "voices",
    },
    "engines": {
        "checkpoints",
        "core",
        "cpu",
        "devices",
        "gpu",
        "readings",
        "tempo",
        "text",
        "torch_engine",
        "vocoders",
        "voices",
    },
    "torch_engine": {"core", "devices", "gpu", "readings", "tempo", "vocoders"},
    "cpu": {"core"},
    "gpu": {"core", "devices"},
    "vocoders": {"checkpoints", "core", "cpu", "gpu", "voices"},
    "attention": {"text"},
    "audio": {"files", "resampling"},
    "checkpoints": {"core"},
    "training": {
        "attention",
        "audio",
        "checkpoints",
        "core",
        "download",
        "engines",
        "files",
        "readings",
        "synthesizer",
        "text",
        "voices",
    },
    "core": set(),
    "counts": set(),
    "devices": set(),
    "errors": set(),
    "events": set(),
    "files": set(),
    "inputs": set(),
    "outputs": {"audio", "play", "plot", "resampling", "speech", "subtitles"},
    "play": {"audio"},
    "plot": {"files", "speech"},
    "registry": set(),
    "resampling": set(),
    "subtitles": {"files", "speech", "timings"},
    "tempo": set(),
    "timings": {"text"},
    "text": set(),
    "voices": {"registry"},
}
ONLY_IN = {
    "torch": {"core", "gpu", "torch_engine", "training"},
    "triton": {"gpu"},
    "typer": {"cli", "cli_download", "options", "training"},
    "rich": {"batch_console", "console", "console_download", "training"},
    "requests": {"download"},
    "filelock": {"batch", "download"},
    "ray": {"batch"},
}
"""Packages that are imported at the top of no other module; all but torch nowhere else at all."""
HELP_MAY_LOAD = {
    "ttscli", "typer",
    # What Typer needs itself, in one release or another:
    "annotated_doc", "annotated_types", "attr", "click", "markdown_it", "mdurl", "pydantic",
    "pydantic_core", "pygments", "rich", "shellingham", "typing_extensions", "typing_inspection",
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The module or subpackage directly below ttscli."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def run_on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes outside of functions and of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(tree):
        only_typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not only_typing and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from run_on_import(child)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    part = part_of(path)
    for name in imports(ast.walk(tree)):
        if name.split(".")[0] == "ttscli":
            parts = [*name.split("."), "__init__"]
            known = {part_of(module) for module in modules()}
            imported = parts[1] if parts[1] in known else "__init__"
            assert imported in MAY_IMPORT[part] | FOR_ALL | {part}, name
        for package in ONLY_IN.keys() - {"torch"}:
            assert name.split(".")[0] != package or part in ONLY_IN[package], name
    for name in imports(run_on_import(tree)):
        assert name.split(".")[0] != "torch" or part in ONLY_IN["torch"], name
        assert name.split(".")[0] != "ray", name


def loaded_by(arguments: list[str]) -> set[str]:
    """Top-level packages that a command loads beside the standard library."""
    code = (
        "import sys\n"
        "from ttscli.cli import main\n"
        f"assert main({arguments}) == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout
    packages = set(done.stderr.split()) - sys.stdlib_module_names
    return {name for name in packages if not name.startswith(("_", "cython"))}  # parts of others


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["synth", "-h"], ["batch", "-h"], ["download", "-h"], ["--version"]],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(arguments)
    assert "typer" in loaded
    assert loaded <= HELP_MAY_LOAD


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, ttscli; print(*(name for name in sys.modules if 'ttscli' in name))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.split() == ["ttscli"]


def test_speaking_loads_only_what_it_needs(tmp_path: Path) -> None:
    """On a CPU every voice speaks without torch, which alone takes longer to load than to speak."""
    target = str(tmp_path / "x.wav")
    loaded = loaded_by(["synth", "hello 22", "--device", "cpu", "-o", target])
    assert "numpy" in loaded
    assert loaded <= HELP_MAY_LOAD | {"numpy", "safetensors", "sentencex", "threadpoolctl"}
