"""The local trainer without torch: which tensors of a checkpoint reach the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aggregation.bundle import encode
from node.adapters.trainer_local import LocalTrainer, TrainerSettings


def test_the_model_never_sees_the_outer_steps_state(tmp_path: Path):
    settings = TrainerSettings({}, (), "cpu", 1, None, tmp_path, 1 << 20)
    names = ["x.lora_A", "x.lora_B", "velocity.x.lora_B", "variance.x.lora_B"]
    checkpoint = encode({name: np.ones(3, np.float32) for name in names})
    trainer = LocalTrainer(settings)
    try:
        assert sorted(trainer._checkpoint(checkpoint)) == ["x.lora_A", "x.lora_B"]
    finally:
        trainer.close()
