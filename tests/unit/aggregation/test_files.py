"""Files in, one canonical file out: `aggregation.files` and ``python -m aggregation``."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from aggregation import bundle
from aggregation.__main__ import main
from aggregation.errors import AggregationError, PreconditionFailed, Reason, UpdateRejected
from aggregation.files import MAX_HEADER_BYTES, aggregate_files, file_id, mapped
from aggregation.registry import parse

Entry = tuple[str, list[int], bytes]
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "F64": 8}


def framed(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def image(entries: dict[str, Entry], **extra: object) -> bytes:
    """A safetensors file by hand: tensors one after another, in the order given."""
    header: dict[str, object] = dict(extra)
    data = b""
    for name, (kind, shape, content) in entries.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return framed(json.dumps(header).encode(), data)


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "layer.b": rng.standard_normal(2100).astype(np.float32),
        "layer.a": rng.standard_normal((7, 13)).astype(np.float32),
        "one": rng.standard_normal(()).astype(np.float32),
    }


def saved(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"client{i}.safetensors" for i in range(count)]
    for i, path in enumerate(paths):
        save_file(arrays(i), path)
    return paths


def wanted(text: str, updates: dict[bytes, dict[str, np.ndarray]], **options) -> str:
    schema = bundle.schema_of(next(iter(updates.values())))
    result = parse(text).aggregate(updates, schema, kernels="numpy", **options)
    return hashlib.sha256(bundle.encode(result.tensors)).hexdigest()


def ids(paths: list[Path]) -> list[bytes]:
    return [file_id(path) + b"\0\0" for path in paths]


def only(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("text", ["arc+nnm+trimmed_mean", "median", "bucketing(s=2)+mean", "krum"])
def test_the_file_holds_the_pipelines_bits(tmp_path: Path, text: str):
    paths = saved(tmp_path, 5)
    out = tmp_path / "out.safetensors"
    result, digest = aggregate_files(parse(text), paths, out, seed=b"s")
    updates = {client: arrays(i) for i, client in enumerate(ids(paths))}
    assert digest == wanted(text, updates, seed=b"s") == hashlib.sha256(out.read_bytes()).hexdigest()
    written = load_file(out)
    assert written.keys() == result.tensors.keys()
    assert all(np.array_equal(written[name], result.tensors[name]) for name in written)
    assert bundle.decode(out.read_bytes(), max_bytes=1 << 20).keys() == written.keys()


@pytest.mark.parametrize("text", ["arc+nnm+trimmed_mean", "bucketing(s=2)+median"])
def test_order_threads_kernels_and_tile_leave_no_trace(tmp_path: Path, text: str):
    paths = saved(tmp_path, 4)
    out = tmp_path / "out"
    digests = {aggregate_files(parse(text), order, out)[1] for order in permutations(paths)}
    digests |= {
        aggregate_files(parse(text), paths, out, kernels=kernels, threads=threads, tile=tile)[1]
        for kernels in ("numpy", "numba")
        for threads in (1, 2, 3)
        for tile in (0, 1024)
    }
    assert len(digests) == 1


def test_equal_files_count_each(tmp_path: Path):
    first, second = saved(tmp_path, 2)
    _, digest = aggregate_files(parse("mean"), [first, second, first], tmp_path / "out")
    assert digest == wanted("mean", {b"1": arrays(0), b"2": arrays(1), b"3": arrays(0)})
    assert digest != aggregate_files(parse("mean"), [first, second], tmp_path / "out")[1]


def test_weights_follow_their_files(tmp_path: Path):
    paths = saved(tmp_path, 3)
    weights = [5, 1, 3]
    expected = wanted(
        "weighted_mean",
        {client: arrays(i) for i, client in enumerate(ids(paths))},
        weights=dict(zip(ids(paths), weights, strict=True)),
    )
    pairs = list(zip(paths, weights, strict=True))
    for order in permutations(pairs):
        found = aggregate_files(
            parse("weighted_mean"), [p for p, _ in order], tmp_path / "out", weights=[w for _, w in order]
        )
        assert found[1] == expected


@pytest.mark.parametrize("text", ["mean", "arc+nnm+trimmed_mean"])
def test_half_precision_files(tmp_path: Path, text: str):
    kinds = [torch.float16, torch.bfloat16, torch.float32]
    paths, updates = [], {}
    for i in range(6):
        halves = {k: torch.tensor(v).to(kinds[(i + j) % 3]) for j, (k, v) in enumerate(sorted(arrays(i).items()))}
        halves["layer.b"].view(-1)[:2] = 1e-40  # subnormal where bfloat16
        paths.append(tmp_path / f"{i}")
        save_torch(halves, paths[-1])
        updates[ids(paths[-1:])[0]] = {name: half.float().numpy() for name, half in halves.items()}
    for kernels in ("numpy", "numba"):
        _, digest = aggregate_files(parse(text), paths, tmp_path / "out", kernels=kernels)
        assert digest == wanted(text, updates)


def test_mapped_tensors_are_read_only_views_in_order_of_name(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(
        image(
            {
                "z": ("BF16", [2, 1], np.array([0x3F80, 0xC000], "<u2").tobytes()),
                "a": ("F32", [], np.array(7, "<f4").tobytes()),
                "h": ("F16", [1], np.array(-2, "<f2").tobytes()),
            },
            __metadata__={"format": "pt"},
        )
    )
    with mapped(path) as tensors:
        assert list(tensors) == ["a", "h", "z"]
        assert tensors["a"] == np.float32(7)
        assert tensors["a"].shape == ()
        assert tensors["h"].tolist() == [-2]
        assert tensors["z"].tolist() == [[0x3F80], [0xC000]]
        assert tensors["z"].dtype == np.uint16
        assert not any(tensor.flags.writeable for tensor in tensors.values())


@pytest.mark.parametrize("odd", [1, 2, 3])
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_tensors_at_any_byte(tmp_path: Path, kernels: str, odd: int):
    # two bytes of float16 before the float32, and a header of any length
    paths, updates = [], {}
    for i in range(3):
        values = np.random.default_rng(i).standard_normal(1500).astype(np.float32)
        half = np.array([i + 0.5], np.float16)
        data = image({"a": ("F16", [1], half.tobytes()), "b": ("F32", [1500], values.tobytes())})
        length = int.from_bytes(data[:8], "little")
        blanks = b" " * ((odd - (8 + length)) % 4)
        paths.append(tmp_path / f"{i}")
        paths[-1].write_bytes(framed(data[8 : 8 + length] + blanks, data[8 + length :]))
        assert (8 + length + len(blanks)) % 4 == odd
        updates[ids(paths[-1:])[0]] = {"a": half.astype(np.float32), "b": values}
    _, digest = aggregate_files(parse("nnm+median"), paths, tmp_path / "out", kernels=kernels)
    assert digest == wanted("nnm+median", updates)


ONE = np.ones(1, "<f4").tobytes()
DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def entry(**changes: object) -> bytes:
    """A file of one float32, its header changed."""
    fields = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}
    return framed(json.dumps({"a": {key: value for key, value in fields.items() if value is not None}}).encode(), ONE)


BAD = {
    "empty": b"",
    "too few for a length": b"\0" * 7,
    "truncated header": image({"a": ("F32", [1], ONE)})[:20],
    "truncated data": image({"a": ("F32", [1], ONE)})[:-1],
    "header too long": (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b" " * 64,
    "header longest": b"\xff" * 8 + b" " * 64,
    "not JSON": framed(b"{a}"),
    "not UTF-8": framed(b'{"\xff\xfe":1}'),
    "deep JSON": framed(DEEP),
    "a long number": framed(b'{"a":' + b"9" * 5000 + b"}"),
    "a list": framed(b"[]"),
    "a number": framed(b"1"),
    "no tensors": framed(b"{}"),
    "metadata alone": framed(b'{"__metadata__":{"format":"pt"}}'),
    "entry a list": framed(b'{"a":[]}'),
    "no dtype": entry(dtype=None),
    "no shape": entry(shape=None),
    "no offsets": entry(data_offsets=None),
    "three offsets": entry(data_offsets=[0, 4, 4]),
    "offsets as text": entry(data_offsets=["0", "4"]),
    "offsets as floats": entry(data_offsets=[0.0, 4.0]),
    "offsets behind the end": entry(data_offsets=[4, 8]),
    "offsets before the start": entry(data_offsets=[-4, 0]),
    "offsets backwards": entry(data_offsets=[4, 0]),
    "offsets too narrow": entry(data_offsets=[0, 3]),
    "shape larger": entry(shape=[2]),
    "shape empty": entry(shape=[0], data_offsets=[0, 0]),
    "shape negative": entry(shape=[-1, -1]),
    "shape a truth value": entry(shape=[True]),
    "shape a float": entry(shape=[1.0]),
    "shape not a number": framed(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', ONE),
    "shape beyond 64 bits": entry(shape=[1 << 32, 1 << 32]),
    "too many axes": entry(shape=[1] * 17),
    "overlapping": framed(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
        ONE + ONE,
    ),
    "name with a quote": image({'a"b': ("F32", [1], ONE)}),
    "name not ASCII": image({"ä": ("F32", [1], ONE)}),
    "name without letters": image({"": ("F32", [1], ONE)}),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(BAD[case])
    with pytest.raises(UpdateRejected) as caught, mapped(path):
        raise AssertionError("it was opened")
    assert caught.value.reason is Reason.BAD_ENCODING
    good = tmp_path / "good"
    good.write_bytes(image({"a": ("F32", [1], ONE)}))
    out = tmp_path / "out"
    assert main(["mean", str(good), str(path), "-o", str(out)]) == 4
    assert str(path) in capsys.readouterr().err
    assert only(tmp_path, "evil.safetensors", "good")


@pytest.mark.parametrize("kind", ["I64", "F64", "F8_E4M3", "f32", ""])
def test_other_dtypes_are_refused(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "whole"
    path.write_bytes(image({"a": (kind, [1], bytes(SIZES.get(kind, 1)))}))
    with pytest.raises(UpdateRejected) as caught, mapped(path):
        raise AssertionError("it was opened")
    assert caught.value.reason is Reason.DTYPE
    assert main(["mean", str(path), "-o", str(tmp_path / "out")]) == 4
    assert repr("a") in capsys.readouterr().err


def test_a_gap_between_tensors_is_no_harm(tmp_path: Path):
    path = tmp_path / "gap"
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    path.write_bytes(framed(header, b"\xff\xff\xff\xff" + ONE + b"tail"))
    with mapped(path) as tensors:
        assert tensors["a"].tolist() == [1]


def test_what_is_not_finite_names_the_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = saved(tmp_path, 3)
    bad = arrays(1)
    bad["layer.b"][-1] = np.nan
    save_file(bad, paths[1])
    out = tmp_path / "out"
    out.write_bytes(b"old")
    for text in ("mean", "arc+nnm+trimmed_mean"):
        assert main([text, *map(str, paths), "-o", str(out)]) == 4
        assert file_id(paths[1]).hex() in capsys.readouterr().err
    assert out.read_bytes() == b"old"
    assert only(tmp_path, *(path.name for path in paths), "out")


def test_differing_schemas_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = saved(tmp_path, 2)
    other = arrays(1)
    other["layer.b"] = other["layer.b"][:-1]
    save_file(other, paths[1])
    for order in (paths, paths[::-1]):
        assert main(["mean", *map(str, order), "-o", str(tmp_path / "out")]) == 4
        assert "'layer.b' has shape" in capsys.readouterr().err
    assert only(tmp_path, *(path.name for path in paths))


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["nonsense"], 2, "Unknown stage 'nonsense'"),
        (["mean", "--weights", "1,2"], 2, "2 weights for 3 files"),
        (["weighted_mean", "--weights", "1,x,3"], 2, "--weights takes integers"),
        (["mean", "--seed", "xyz"], 2, "--seed hex digits"),
        (["mean", "--threads", "0"], 2, "threads=0"),
        (["median:f=2"], 5, "median needs n > 2f, got n=3, f=2"),
        (["bucketing(s=0)+mean"], 2, "bucketing(s=0)"),
    ],
)
def test_exit_codes(tmp_path: Path, options: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]):
    paths = saved(tmp_path, 3)
    assert main([*options[:1], *map(str, paths), *options[1:], "-o", str(tmp_path / "out")]) == code
    assert says in capsys.readouterr().err
    assert only(tmp_path, *(path.name for path in paths))


def test_files_that_cannot_be_read_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = str(saved(tmp_path, 1)[0])
    assert main(["mean", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 2
    assert "Cannot open" in capsys.readouterr().err
    assert main(["mean", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "Cannot open" in capsys.readouterr().err
    assert main(["mean", path, "-o", str(tmp_path / "none" / "out")]) == 2
    assert "Cannot write" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    assert main(["mean", path, "-o", str(tmp_path / "folder")]) == 2
    assert "Cannot write" in capsys.readouterr().err
    assert only(tmp_path, "client0.safetensors", "folder")
    with pytest.raises(AggregationError, match="No files"):
        aggregate_files(parse("mean"), [], tmp_path / "out")


def test_bad_use_is_explained(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["mean", "file"])
    assert left.value.code == 2
    assert "-o" in capsys.readouterr().err


def test_the_command_as_a_process(tmp_path: Path):
    paths = saved(tmp_path, 4)
    out = tmp_path / "out"
    run = [sys.executable, "-m", "aggregation", "median:f=1", *map(str, paths), "-o", str(out)]
    done = subprocess.run([*run, "--json"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == {
        "out": str(out),
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "pipeline": "median:f=1",
        "n": 4,
        "f": 1,
        "warnings": [],
    }
    assert facts["sha256"] == wanted("median:f=1", {client: arrays(i) for i, client in enumerate(ids(paths))})
    plain = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert plain.stdout == f"median:f=1 of 4 updates, f = 1\n{facts['sha256']}  {out}\n"
    assert plain.stderr == ""


def test_warnings_go_to_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = saved(tmp_path, 6)
    assert main(["bulyan", *map(str, paths), "-o", str(tmp_path / "out")]) == 0
    assert "warning: f=auto was lowered" in capsys.readouterr().err


def test_an_existing_output_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = saved(tmp_path, 3)
    out = tmp_path / "out"
    out.write_bytes(b"old" * 100_000)

    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(AggregationError, match="No space left"):
            aggregate_files(parse("mean"), paths, out)
    with pytest.raises(PreconditionFailed):
        aggregate_files(parse("mean:f=7"), paths, out)
    assert out.read_bytes() == b"old" * 100_000
    assert only(tmp_path, *(path.name for path in paths), "out")
    _, digest = aggregate_files(parse("mean"), paths, out)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == digest
    assert only(tmp_path, *(path.name for path in paths), "out")


def test_the_output_may_be_an_input(tmp_path: Path):
    paths = saved(tmp_path, 3)
    _, digest = aggregate_files(parse("median"), paths, tmp_path / "out")
    assert aggregate_files(parse("median"), paths, paths[0])[1] == digest == file_id(paths[0]).hex()


def test_a_leftover_of_a_crash_is_no_obstacle(tmp_path: Path):
    # in containers the next process has the crashed one's number
    paths = saved(tmp_path, 1)
    leftover = tmp_path / f".out.{os.getpid()}.part"
    leftover.write_bytes(b"crashed")
    aggregate_files(parse("mean"), paths, tmp_path / "out")
    assert (tmp_path / "out").exists()
    assert leftover.read_bytes() == b"crashed"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_the_mode_follows_umask(tmp_path: Path, mask: int):
    paths = saved(tmp_path, 1)
    before = os.umask(mask)
    try:
        aggregate_files(parse("mean"), paths, tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o666 & ~mask


MEASURED = """
import sys, threading, time
from pathlib import Path
from aggregation.files import aggregate_files
from aggregation.registry import parse

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

small, large, out = (Path(argument) for argument in sys.argv[1:])
pipeline = parse("arc+nnm+trimmed_mean")
aggregate_files(pipeline, sorted(small.iterdir()), out, kernels="numba")
before, seen, done = resident(), [], threading.Event()

def watch():
    while not done.is_set():
        seen.append(resident())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
_, digest = aggregate_files(pipeline, sorted(large.iterdir()), out, kernels="numba")
done.set()
watcher.join()
print((max(seen) - before) // 1024, len(seen), digest)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files(tmp_path: Path):
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, size in ((small, 3000), (large, 2_000_000)):
        folder.mkdir()
        for i in range(20):
            save_file({"w": np.random.default_rng(i).standard_normal(size, np.float32)}, folder / f"{i:02}")
    run = [sys.executable, "-c", MEASURED, str(small), str(large), str(tmp_path / "out")]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    grown, samples, _ = done.stdout.split()
    assert int(samples) > 20
    assert int(grown) < 64, f"RssAnon grew by {grown} MiB for 160 MB of files"
