"""Homomorphic averaging of a LoRA update with CKKS (TenSEAL), beside plain addition: time, bytes, error, and what can still be verified.

    make bench-ckks                                     # an environment of its own; writes build/bench/ckks.json

The vector has the length of the demo's update (LoRA of rank 16 on MiniLM, 179 208 parameters) and values of its size (normal, 10⁻³).
Clients encrypt under one public key, anybody adds the ciphertexts, the owner of the secret key decrypts the sum and divides. Imports
nothing of the project, so that its environment needs nothing of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tenseal as ts
from numpy.typing import NDArray

OUT = Path("build/bench/ckks.json")
PARAMETERS = 179_208
VALUE = 1e-3
SETTINGS = (
    {"degree": 4096, "moduli": [36, 36], "scale_bits": 24},
    {"degree": 8192, "moduli": [60, 60], "scale_bits": 40},
    {"degree": 8192, "moduli": [60, 40, 60], "scale_bits": 40},
    {"degree": 16384, "moduli": [60, 40, 40, 60], "scale_bits": 40},
)
"""Ring degree, bits of the coefficient moduli (within SEAL's tables for 128-bit security; the last is spent by key switching), scale."""

Vector = NDArray[np.float64]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and CPU seconds of this process."""
    start = time.process_time()
    return work(), time.process_time() - start


def encrypt(context: Any, vector: Vector, slots: int) -> list[bytes]:
    """Ciphertexts of a vector, as they would travel."""
    pieces = [vector[i : i + slots].tolist() for i in range(0, len(vector), slots)]
    return [ts.ckks_vector(context, piece).serialize() for piece in pieces]


def add(context: Any, clients: list[list[bytes]]) -> list[bytes]:
    """Sum of all clients' ciphertexts, piece by piece."""
    return [
        reduce(lambda total, one: total + one, [ts.ckks_vector_from(context, data) for data in column]).serialize()
        for column in zip(*clients, strict=True)
    ]


def decrypt(context: Any, total: list[bytes], key: Any) -> Vector:
    """The sum in the clear."""
    return np.concatenate([np.array(ts.ckks_vector_from(context, data).decrypt(key)) for data in total])


def measure(setting: dict[str, Any], clients: int, seed: int) -> dict[str, Any]:
    """One mean under one setting."""
    context = ts.context(
        ts.SCHEME_TYPE.CKKS, poly_modulus_degree=setting["degree"], coeff_mod_bit_sizes=setting["moduli"]
    )
    context.global_scale = 2.0 ** setting["scale_bits"]
    key = context.secret_key()
    public = context.copy()
    public.make_context_public()
    slots = setting["degree"] // 2
    vectors = np.random.default_rng(seed).normal(0, VALUE, (clients, PARAMETERS)).astype(np.float32).astype(np.float64)
    sent, encrypting = timed(lambda: [encrypt(public, vector, slots) for vector in vectors])
    total, adding = timed(lambda: add(public, sent))
    plain, decrypting = timed(lambda: decrypt(public, total, key))
    exact, adding_plain = timed(lambda: vectors.mean(axis=0))
    error = np.abs(plain / clients - exact)
    again = [encrypt(public, vectors[0], slots), *sent[1:]]
    mean = (plain / clients).astype(np.float32)
    other = (decrypt(public, add(public, again), key) / clients).astype(np.float32)
    backward = add(public, sent[::-1])
    size = sum(map(len, sent[0]))
    return {
        **setting,
        "clients": clients,
        "ciphertexts": len(sent[0]),
        "encrypt_cpu_s": round(encrypting / clients, 4),
        "add_cpu_s": round(adding, 4),
        "decrypt_cpu_s": round(decrypting, 4),
        "plain_mean_cpu_s": round(adding_plain, 4),
        "bytes": size,
        "bytes_plain": 4 * PARAMETERS,
        "times_plain": round(size / (4 * PARAMETERS), 2),
        "largest_error": float(error.max()),
        "root_mean_square_error": float(np.sqrt((error**2).mean())),
        "relative_error": float(np.sqrt((error**2).mean() / (exact**2).mean())),
        "same_ciphertext_when_encrypted_again": sent[0] == again[0],
        "same_sum_in_other_order": [digest(one) for one in backward] == [digest(one) for one in total],
        "float32_values_that_differ_when_one_client_encrypts_again": int(np.count_nonzero(mean != other)),
        "float32_values_that_differ_from_the_exact_mean": int(np.count_nonzero(mean != exact.astype(np.float32))),
    }


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def poison(clients: int) -> dict[str, Any]:
    """One client of many multiplies its update by −100: the sum follows it, and no ciphertext shows which one it was."""
    rng, setting = np.random.default_rng(1), SETTINGS[1]
    context = ts.context(
        ts.SCHEME_TYPE.CKKS, poly_modulus_degree=setting["degree"], coeff_mod_bit_sizes=setting["moduli"]
    )
    context.global_scale = 2.0 ** setting["scale_bits"]
    slots = setting["degree"] // 2
    vectors = rng.normal(VALUE, VALUE, (clients, slots))
    honest = vectors.mean(axis=0)
    vectors[0] *= -100
    sent = [encrypt(context, vector, slots) for vector in vectors]
    found = decrypt(context, add(context, sent), context.secret_key()) / clients
    cosine = float(found @ honest / np.linalg.norm(found) / np.linalg.norm(honest))
    lengths = {len(one[0]) for one in sent}
    means = [float(np.frombuffer(one[0][:65536], np.uint8).mean()) for one in sent]
    spread = statistics.pstdev(means[1:])
    return {
        "clients": clients,
        "cosine_of_the_mean_to_the_honest_mean": round(cosine, 4),
        "distinct_ciphertext_lengths": len(lengths),
        "mean_byte_of_the_poisoned_in_deviations": round((means[0] - statistics.mean(means[1:])) / spread, 2),
    }


def main() -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(prog="benchmarks.ckks", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path, default=OUT)
    arguments = parser.parse_args()
    cpu = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    result: dict[str, Any] = {
        "machine": {"cpu": cpu[0] if cpu else platform.processor(), "cores": len(cpu), "system": platform.system()},
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in ("tenseal", "numpy")}},
        "parameters": PARAMETERS,
        "rows": [],
    }
    for clients in (5, 20):
        for setting in SETTINGS:
            row = measure(setting, clients, seed=clients)
            print(row, flush=True)
            result["rows"].append(row)
    result["poison"] = poison(20)
    print(result["poison"])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
