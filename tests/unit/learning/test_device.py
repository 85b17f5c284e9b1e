from __future__ import annotations

import pytest
import torch

from learning.device import choose_device, precision_context, single_threaded
from learning.errors import DeviceError


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_takes_an_accelerator_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == torch.device("cuda", 0)


def test_a_missing_device_is_said_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda") == torch.device("cuda", 0)
    with pytest.raises(DeviceError, match="cuda:1") as caught:
        choose_device("cuda:1")
    assert "auto" in caught.value.hint


@pytest.mark.parametrize("wish", ["gpu", "", "cuda:", "cuda:x", "CUDA:0", "cuda:0 "])
def test_other_words_are_refused(wish: str) -> None:
    with pytest.raises(DeviceError, match="not a device"):
        choose_device(wish)


def test_precision() -> None:
    cpu = torch.device("cpu")
    x = torch.ones(2, 2)
    with precision_context(cpu, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with precision_context(cpu, "float32"):
        assert (x @ x).dtype == torch.float32


def test_bf16_falls_back_to_float32_on_an_old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with precision_context(torch.device("cuda", 0), "bf16"):
        assert not torch.is_autocast_enabled("cuda")


def test_one_thread() -> None:
    single_threaded()
    assert torch.get_num_threads() == 1
