"""Compiles the decoder's kernels for a GPU that need not be here, and prints the
shared memory and the code of each in bytes.

The interpreter runs what the compiler refuses. Sizes are those of the published Tacotron 2.
"""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ttscli.gpu import decoder_kernels as kernels

HOPPER = GPUTarget("cuda", 90, 32)


def compiled(kernel: Any, types: str, constants: dict[str, Any], warps: int) -> Any:
    """A kernel for pointers and sizes that are multiples of 16, but for those with a "!"."""
    given, constants = types.split(), constants | {"CHAINED": True}
    names = kernel.arg_names
    signature = dict(zip(names, (one.rstrip("!") for one in given), strict=False))
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = [place for place, one in enumerate(given) if not one.endswith("!")]
    source = ASTSource(
        kernel,
        signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(place,): [["tt.divisibility", 16]] for place in aligned},
    )
    return triton.compile(source, target=HOPPER, options={"num_warps": warps, "launch_pdl": True})


def main() -> None:
    for half in ("fp32", "fp16", "bf16"):
        h = f"*{half}"
        attention = {
            "TAPS": 31, "D": 128, "AHEAD": 3, "D_BLOCK": 128, "INPUTS": 64, "ROW": 128,
            "BLOCK": kernels.BLOCK, "PRECISION": "tf32x3" if half == "fp32" else "tf32",
        }  # fmt: skip
        early = kernels.EARLY // (4 if half == "fp32" else 2)
        made = {
            "cell": compiled(kernels._cell, f"{h} *fp32 *fp32 {h} i32 i32", {"BLOCK": 256}, 4),
            "lstm": compiled(
                kernels._lstm,
                f"{h} {h} *fp32 *fp32 {h} i32! i32 i32 i32 i32",
                {"UNITS": kernels.UNITS, "EARLY": early, "CHUNK": 256},
                8,
            ),
            "product": compiled(
                kernels._product,
                f"{h} {h} {h} *fp32 *fp32! i32! i32 i32 i32! i32 i32 i32!",
                {"ROWS": 4, "BLOCK": 4, "CHUNK": 2048},
                4,
            ),
            "prenet": compiled(
                kernels._prenet,
                f"*fp32! {h} {h} {h} i32 i32! i32 i32",
                {"WIDTH": 256, "BLOCK": kernels.BLOCK},
                4,
            ),
            "energies": compiled(
                kernels._energies,
                f"*fp32 {h} *i32 *i32 *fp32 *fp32 *fp32 *fp32 i32",
                attention,
                4,
            ),
            "context": compiled(
                kernels._context,
                f"*fp32 {h} *i32 *fp32 {h} *fp32 i32 i32",
                {"E": 512, "BLOCK": kernels.COLUMNS, "READ": kernels.COLUMNS, "ROW": 128},
                4,
            ),
        }
        for name, kernel in made.items():
            size = len(kernel.asm["cubin"])
            sys.stdout.write(f"{half} {name} {kernel.metadata.shared} {size}\n")


if __name__ == "__main__":
    main()
