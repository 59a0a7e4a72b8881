"""Does everything that can run on a GPU give there what numpy gives, and how fast is the E-step?

    python benchmarks/gpu_check.py                     # all checks, then the benchmark; writes gpu_check.json
    python benchmarks/gpu_check.py --only-checks
    python benchmarks/gpu_check.py --tests             # the numerical tests of the folder `tests` as well (pytest)
    python benchmarks/gpu_check.py --full-size 180     # classifications as large as the HIV tutorial's too, each at most 180 s

Needs a clone of the repository, an NVIDIA GPU, Python 3.11 or later, CuPy (cupy-cuda12x or cupy-cuda13x), numpy, scipy and pydantic; with
--tests also pytest, hypothesis, scikit-image, mrcfile, matplotlib and threadpoolctl. Neither napari nor Qt is needed, and the package
need not be installed: it is taken from src/. Without a network, bring what is missing as wheels (pydantic, pydantic-core,
annotated-types, typing-inspection; mrcfile, threadpoolctl) and put them on PYTHONPATH.

Without CuPy or a GPU it says so and ends with status 0 and "skipped" in the JSON file; 1 means that a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EM_TESTS = ("expectation", "basis", "bound", "global_search", "laws", "on_device", "stored_poses", "turning", "work")
TESTS = ("tests/numerics", "tests/geometry", *(f"tests/em/test_{name}.py" for name in EM_TESTS))
#: of hiv_size.py, each with its own report
FULL_SIZE = {"box64": "", "box64-tf32": "--tf32 --iterations 8", "box128": "--box 128 --shells 37 --iterations 8"}


def main(words: list[str] | None = None) -> int:
    """Run the checks and the benchmark and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0, cuda:1, ...")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="where the report goes")
    parser.add_argument("--only-checks", action="store_true", help="no benchmark")
    parser.add_argument("--tests", action="store_true", help="run the numerical tests with pytest too")
    parser.add_argument(
        "--full-size", type=float, default=0, metavar="SECONDS", help="run hiv_size.py, so long at most for each of its cases"
    )
    parser.add_argument("--box", type=int, default=48, help="box of the benchmark's particles, px")
    parser.add_argument("--particles", type=int, default=96, help="particles of the benchmark")
    parser.add_argument("--shells", type=int, nargs="+", default=[8, 12, 16], help="last shells of the benchmark's E-steps")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the E-step on the processor")
    options = parser.parse_args(words)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks"), str(ROOT / "tests")]
    report: dict[str, Any] = {"machine": machine(), "device": options.device}
    from napari_subtomo.errors import DeviceError
    from napari_subtomo.numerics.backend import resolve_device

    try:
        device = resolve_device(options.device)
    except DeviceError as error:
        print(f"Skipped: {error}")
        return finish(options.json, report | {"status": "skipped", "why": str(error)})
    report |= {"gpu": gpu(device), "checks": checks(device)}
    passed = all(check["passed"] for check in report["checks"])
    if options.tests:
        report["tests"] = tests()
        passed = passed and report["tests"]["status"] == 0
    if not options.only_checks:
        report["benchmark"] = [benchmark(device, options.box, options.particles, shell, options.threads) for shell in options.shells]
    if options.full_size > 0:
        options.json.write_text(json.dumps(report, indent=1) + "\n")  # should time run out
        report["full_size"] = {name: full_size(name, words, options) for name, words in FULL_SIZE.items()}
    return finish(options.json, report | {"status": "passed" if passed else "failed"})


def full_size(name: str, words: str, options: argparse.Namespace) -> dict[str, Any]:
    """The report of hiv_size.py, as far as it came."""
    path = options.json.with_name(f"{options.json.stem}-{name}.json")
    path.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "benchmarks/hiv_size.py"), "--device", options.device, "--json", str(path), *words.split()]
    print(" ".join(command[1:]), flush=True)
    try:
        status: int | str = subprocess.run(command, timeout=options.full_size).returncode
    except subprocess.TimeoutExpired:
        status = "out of time"
    return {"status": status} | (json.loads(path.read_text()) if path.is_file() else {})


def finish(path: Path, report: dict[str, Any]) -> int:
    """Write the report; the exit status."""
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{report['status']}; {path} has the details")
    return 1 if report["status"] == "failed" else 0


def machine() -> dict[str, Any]:
    """What the processor's side is."""
    import numpy
    import scipy

    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def gpu(device: str) -> dict[str, Any]:
    """Name and memory of the GPU, versions of CuPy and CUDA."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(int(device.partition(":")[2] or 0))
    return {
        "name": properties["name"].decode(),
        "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
        "cupy": cupy.__version__,
        "cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
    }


def checks(device: str) -> list[dict[str, Any]]:
    """All checks of `device_checks`, printed one by one."""
    from device_checks import CHECKS, compare

    found = []
    for check in CHECKS:
        verdict = compare(check, device)
        sign = "ok    " if verdict.passed else "FAILED"
        told = (
            verdict.error
            or f"largest difference {verdict.difference:.1e} (allowed {verdict.tolerance:.0e}) in {verdict.output or 'nothing'}"
        )
        print(f"{sign} {verdict.name}: {told}", flush=True)
        found.append(asdict(verdict) | {"difference": min(verdict.difference, 1e30), "relative": not check.absolute})
    return found


def tests() -> dict[str, Any]:
    """The numerical tests on this machine's processor: the oracle itself must be right here."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:3])}, capture_output=True, text=True
    )
    lines = done.stdout.strip().splitlines()
    print("\n".join(lines[-10:]), flush=True)
    return {"status": done.returncode, "last_line": lines[-1] if lines else done.stderr[-300:]}


def benchmark(device: str, box: int, particles: int, shell: int, threads: int) -> dict[str, Any]:
    """One E-step of three classes in five folds on the processor and on the GPU, the second run of each timed."""
    import cupy
    from device_checks import e_step, em_setup

    from napari_subtomo.numerics.backend import device_context

    shell = min(shell, (box - 1) // 2)
    setup = em_setup(box, particles, "cpu", classes=3, folds=5, angular_step=7.5, local_range=15.0, offset_range=3.0)
    step = e_step(setup, shell)
    row: dict[str, Any] = {
        "box": box,
        "particles": len(setup.prepared),
        "shell": shell,
        "voxels": step.voxels,
        "rotations": len(step.poses.rotations),
        "shifts": len(step.poses.shifts),
        "classes": step.model.maps.shape[1],
        "threads": threads,
    }
    row["cpu_seconds"] = timed(setup, step, threads)
    with device_context(device):
        pool = cupy.get_default_memory_pool()
        pool.free_all_blocks()
        row["gpu_seconds"] = timed(setup, with_device(step, device), 1)
        row["gpu_pool_mib"] = round(pool.total_bytes() / 2**20)
    products = row["particles"] * row["rotations"] * row["shifts"] * row["classes"] * row["voxels"]
    row |= {f"{side}_tflops": round(4 * products / row[f"{side}_seconds"] / 1e12, 3) for side in ("cpu", "gpu")}
    row["faster"] = round(row["cpu_seconds"] / row["gpu_seconds"], 1)
    print(f"E-step to shell {shell}: {row['cpu_seconds']:.2f} s on {threads} threads, {row['gpu_seconds']:.2f} s on the GPU", flush=True)
    return row


def with_device(step: Any, device: str) -> Any:
    """The same E-step on a device."""
    from dataclasses import replace

    return replace(step, device=device)


def timed(setup: Any, step: Any, threads: int) -> float:
    """Seconds of the second of two runs; results come back to the host, so the GPU has finished by then."""
    from napari_subtomo.em.expectation import search
    from napari_subtomo.progress import Silent

    seconds = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        search(step, setup.prepared, threads, Silent())
        seconds = time.perf_counter() - begun
    return round(seconds, 3)


if __name__ == "__main__":
    sys.exit(main())
