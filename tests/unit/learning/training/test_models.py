"""Model folders: what fits, what is refused, what is shared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from learning.errors import ModelError, SpecError
from learning.models.adapters import Adapter, FrozenFactorLinear, adapted_layers, attach, require_bitsandbytes
from learning.models.base import base_model_hash
from learning.models.families import FAMILIES, class_for, family_of, longest, read_any_config
from learning.models.loading import check_fit, find_model, load_body, load_tokenizer
from learning.models.tiny_families import FAMILY_NAMES, write_tiny_family
from learning.tasks.encoding import Limits
from learning.training.learner import TransformerLearner
from learning.training.precision import choose_precision, frozen_type

Make = Callable[..., TransformerLearner]
CPU = torch.device("cpu")


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def edit(folder: Path, name: str, **fields: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_tiny_families_are_reproducible(family: str, family_folders: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = write_tiny_family(tmp_path / "again", family, vocabulary=400)
    assert torch.equal(torch.rand(1), expected)
    assert base_model_hash(again) == base_model_hash(family_folders[family])
    other = write_tiny_family(tmp_path / "other", family, vocabulary=400, seed=1)
    assert base_model_hash(other) != base_model_hash(again)
    assert family_of(read_any_config(again)).name == family


def test_tiny_families_refuse_what_they_cannot_be(tmp_path: Path) -> None:
    for bad in ({"family": "mamba"}, {"family": "bert", "vocabulary": 100}, {"family": "bert", "hidden": 30}):
        with pytest.raises(SpecError):
            write_tiny_family(tmp_path, **bad)  # type: ignore[arg-type]


def test_byte_level_tokenizers_give_back_any_text(family_folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(family_folders["gpt2"])
    text = "def größe(x):\n\treturn x ** 2  # é\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer.tokenize("<EOL>")) == 1


def test_families_by_type_and_kind() -> None:
    assert family_of({"model_type": "llama"}).name == "llama"
    with pytest.raises(ModelError, match="mamba"):
        family_of({"model_type": "mamba"})
    assert class_for(FAMILIES["t5"], "seq2seq") == "T5ForConditionalGeneration"
    with pytest.raises(SpecError, match="bert model cannot be used for 'causal'"):
        class_for(FAMILIES["bert"], "causal")
    assert longest(FAMILIES["roberta"], {"max_position_embeddings": 514}) == 512
    assert longest(FAMILIES["gpt2"], {"n_positions": 1024}) == 1024
    assert longest(FAMILIES["t5"], {}) is None


def test_a_tokenizer_with_more_words_than_the_model_is_refused(make: Make, family_folders: Any, tmp_path: Path) -> None:
    folder = copy(family_folders["llama"], tmp_path / "m")
    bigger = write_tiny_family(tmp_path / "bigger", "llama", vocabulary=450)
    shutil.copy(bigger / "tokenizer.json", folder / "tokenizer.json")
    with pytest.raises(
        ModelError, match=r"tokenizer of .*m and the model of .*m do not fit.*ids up to 4\d\d.*knows 403"
    ):
        make("llama", "completion", model=folder)


def test_a_tokenizer_that_pads_with_another_id_is_refused(make: Make, family_folders: Any, tmp_path: Path) -> None:
    folder = copy(family_folders["roberta"], tmp_path / "m")
    edit(folder, "config.json", pad_token_id=3)
    with pytest.raises(ModelError, match=r"tokenizer of .* and the model of .*padding is id 1 to the tokenizer and 3"):
        make("roberta", "classification", model=folder)


def test_both_are_named_where_they_come_from_different_places(family_folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(family_folders["bert"])
    config = {**read_any_config(family_folders["bert"]), "vocab_size": 17}
    with pytest.raises(ModelError, match="The tokenizer of CodeBERT and the model of MiniLM do not fit"):
        check_fit(tokenizer, config, FAMILIES["bert"], "CodeBERT", "MiniLM")
    most = max(tokenizer.get_vocab().values())
    config = {**config, "vocab_size": most + 1}
    check_fit(tokenizer, config, FAMILIES["bert"], "a", "b")
    with pytest.raises(ModelError, match=f"up to {most}, the model knows {most}"):
        check_fit(tokenizer, {**config, "vocab_size": most}, FAMILIES["bert"], "a", "b")
    config = {**read_any_config(family_folders["t5"]), "decoder_start_token_id": None}
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        check_fit(tokenizer, config, FAMILIES["t5"], "a", "b")


def test_lengths_beyond_the_models_positions_are_refused(make: Make) -> None:
    with pytest.raises(ModelError, match=r"up to 140 tokens.*takes 128"):
        make("llama", "causal", limits=Limits(100, 40))
    make("t5", "seq2seq", limits=Limits(400, 40))


def test_wrong_kinds_are_refused(make: Make) -> None:
    with pytest.raises(SpecError, match="cannot be used for 'causal'"):
        make("bert", "causal")
    with pytest.raises(SpecError, match="code_search cannot be encoded for 'classification'"):
        TransformerLearner(make("bert", "retrieval").data, make("bert", "retrieval").folder, kind="classification")
    with pytest.raises(SpecError, match="bert model cannot do completion"):
        TransformerLearner(make("llama", "completion").data, make("bert", "retrieval").folder)


def test_folders_that_cannot_be_read_are_explained(make: Make, family_folders: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="not on this machine"):
        find_model("no-such-model")
    with pytest.raises(ModelError, match="could not be had") as caught:
        find_model("nobody/nothing")
    assert "--online" in str(caught.value)
    with pytest.raises(ModelError, match="was expected"):
        find_model(family_folders["bert"], expected="0" * 64)
    assert find_model(family_folders["bert"], expected=base_model_hash(family_folders["bert"])).is_dir()
    assert (find_model("all-MiniLM-L6-v2") / "config.json").is_file()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        folder = copy(family_folders["bert"], tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(ModelError):
            make("bert", "classification", model=folder)
    folder = copy(family_folders["bert"], tmp_path / "cut")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match="could not be loaded"):
        make("bert", "classification", model=folder)


def test_weights_that_are_missing_are_not_drawn_at_random(family_folders: Any, tmp_path: Path) -> None:
    folder = copy(family_folders["bert"], tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in tensors if "query.weight" in n)
    save_file({n: t for n, t in tensors.items() if n != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 tensor.*query\.weight"):
        load_body(folder, "classification")


def test_code_in_a_folder_is_not_run(make: Make, family_folders: Any, tmp_path: Path) -> None:
    folder = copy(family_folders["bert"], tmp_path / "m")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    edit(folder, "config.json", auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.Config"})
    make("bert", "classification", model=folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("family", "kind"), [(f.name, k) for f in FAMILIES.values() for k in f.classes])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shared_weights_are_the_models(
    family: str, kind: Any, dtype: torch.dtype, family_folders: Any, tmp_path: Path
) -> None:
    folder = family_folders[family]
    plain = load_body(folder, kind, frozen_type=dtype)
    for _ in "wr":  # written, then read
        shared = load_body(folder, kind, frozen_type=dtype, shared=tmp_path)
        left, right = (dict(m.named_parameters()) for m in (plain, shared))
        assert list(left) == list(right)
        assert all(torch.equal(left[n], right[n]) and left[n].dtype == right[n].dtype for n in left)
        buffers = [dict(m.named_buffers()) for m in (plain, shared)]
        assert list(buffers[0]) == list(buffers[1])
        assert all(torch.equal(buffers[0][n], buffers[1][n]) for n in buffers[0])
    assert len(list(tmp_path.iterdir())) == 1


_CHILD = """
import re, sys
from pathlib import Path
import torch
from learning.models.loading import load_body
body = load_body(Path(sys.argv[1]), "retrieval", frozen_type=torch.bfloat16, shared=Path(sys.argv[2]))
total = sum(float(p.float().sum()) for p in body.parameters())  # touches every page
block, kib = False, {"Rss": 0, "Pss": 0, "Private_Dirty": 0}
for line in open("/proc/self/smaps"):
    if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
        block = line.rstrip().endswith(".safetensors")
    elif block and (found := re.match(r"(Rss|Pss|Private_Dirty): +(\\d+) kB", line)):
        kib[found[1]] += int(found[2])
print(total, kib["Rss"], kib["Pss"], kib["Private_Dirty"])
"""


def test_two_processes_share_the_pages_of_one_model(tmp_path: Path) -> None:
    folder = write_tiny_family(tmp_path / "m", "bert", hidden=256, layers=4)
    body = load_body(folder, "retrieval", frozen_type=torch.bfloat16, shared=tmp_path / "cache")
    touched = sum(float(p.detach().float().sum()) for p in body.parameters())
    (path,) = (tmp_path / "cache").iterdir()
    command = [sys.executable, "-W", "ignore", "-c", _CHILD, str(folder), str(tmp_path / "cache")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[4], check=True)
    total, resident, proportional, dirty = map(float, run.stdout.split())
    assert total == pytest.approx(touched)
    assert resident > 0.9 * path.stat().st_size / 1024
    assert proportional < 0.6 * resident  # a page that two processes map counts half for each
    assert dirty == 0
    assert body is not None


def test_a_damaged_shared_file_is_named(family_folders: Any, tmp_path: Path) -> None:
    load_body(family_folders["bert"], "retrieval", shared=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        load_body(family_folders["bert"], "retrieval", shared=tmp_path)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_adapters_reach_every_target_and_begin_at_nothing(family: str, family_folders: Any) -> None:
    entry = FAMILIES[family]
    ids = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(0))
    plain = load_body(family_folders[family], "retrieval").requires_grad_(False)
    expected = plain(input_ids=ids).last_hidden_state
    for kind in ("ffa", "lora"):
        body = load_body(family_folders[family], "retrieval")
        layers = attach(body, entry, Adapter(kind=kind, rank=2))
        present = {t for t in entry.targets if any(f".{n}".endswith(f".{t}") for n, _ in plain.named_modules())}
        assert {t for t in entry.targets if any(f".{n}".endswith(f".{t}") for n in layers)} == present
        assert len(present) >= 4
        trained = [n for n, p in body.named_parameters() if p.requires_grad]
        assert len(trained) == len(layers) * (1 if kind == "ffa" else 2)
        if kind == "ffa":
            torch.testing.assert_close(body(input_ids=ids).last_hidden_state, expected)
            for module in body.modules():
                if isinstance(module, FrozenFactorLinear):
                    nn.init.normal_(module.lora_b)
            assert not torch.allclose(body(input_ids=ids).last_hidden_state, expected, atol=1e-2)


def test_the_frozen_product_is_alpha_over_r_times_b_times_a() -> None:
    base = nn.Linear(6, 5)
    first = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    layer = FrozenFactorLinear(base, first, 5, 4.0)
    nn.init.normal_(layer.lora_b)
    inputs = torch.randn(3, 4, 6)
    expected = inputs @ (base.weight + 4.0 * layer.lora_b @ torch.from_numpy(first)).T + base.bias
    torch.testing.assert_close(layer(inputs), expected)
    assert not base.weight.requires_grad


def test_adapters_that_cannot_be_are_refused(make: Make, family_folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    body = load_body(family_folders["bert"], "retrieval")
    with pytest.raises(ModelError, match="called nothing"):
        adapted_layers(body, FAMILIES["bert"], Adapter(targets=("nothing",)))
    for bad in ({"rank": 0}, {"alpha": 0.0}, {"kind": "prefix"}):
        with pytest.raises(SpecError):
            Adapter(**bad)  # type: ignore[arg-type]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="bitsandbytes"):
        require_bitsandbytes()
    with pytest.raises(ModelError, match="bitsandbytes"):
        attach(body, FAMILIES["bert"], Adapter(kind="qlora"))
    with pytest.raises(ModelError, match="bitsandbytes"):
        make("bert", "retrieval", adapter=Adapter(kind="qlora"))


def test_bf16_is_taken_where_it_is_native(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert choose_precision(CPU, "auto") == "float32"
    assert choose_precision(CPU, "bf16") == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert choose_precision(CPU, "auto") == "bf16"
    assert choose_precision(CPU, "float32") == "float32"
    assert frozen_type("bf16") is torch.bfloat16


@pytest.mark.parametrize(("family", "kind"), [("bert", "retrieval"), ("llama", "completion"), ("t5", "seq2seq")])
def test_bf16_trains_as_well(make: Make, family: str, kind: Any) -> None:
    from learning.training.settings import Settings

    settings = Settings(learning_rate=3e-3, batch=4, precision="bf16")
    learner = make(family, kind, settings=settings)
    start = learner.initial(0)
    trained = learner.train(start, list(range(8)), seed=0, epochs=12)
    before, after = (learner.losses(s, list(range(8))).mean() for s in (start, trained.state))
    assert after < 0.9 * before
    exact = make(family, kind)
    assert before == pytest.approx(exact.losses(start, list(range(8))).mean(), rel=0.02)
