"""Lines that speak of saving a checkpoint, and lines that only sound so; as the frameworks write them."""

from __future__ import annotations

import re

import pytest
import re2

from logsvc.core.findings.checkpoint_words import CHECKPOINT_PATTERN, is_checkpoint_line

SAVING = """\
=> saving checkpoint to /cache/out/checkpoint.pth.tar
Saving model checkpoint to output/checkpoint-500
Model weights saved in output/checkpoint-500/pytorch_model.bin
saving checkpoint at iteration    1000 to /home/ma-user/modelarts/outputs/ckpt in torch format
  successfully saved checkpoint from iteration    1000 to /home/ma-user/modelarts/outputs/ckpt
[Torch] Checkpoint global_step100 is about to be saved!
[Torch] Saving /ckpt/global_step100/mp_rank_00_model_states.pt...
[Torch] Saved /ckpt/global_step100/mp_rank_00_model_states.pt.
Epoch 3, global step 300: 'val_loss' reached 0.31 (best 0.31), saving model to '/out/epoch=3-step=300.ckpt' as top 1
Saved checkpoint at step 4000 (took 31.2 s)
2026-11-20 12:00:00 | INFO | fairseq.trainer | Saving checkpoint to checkpoints/checkpoint_last.pt
2026-11-20 12:00:31 | INFO | fairseq.trainer | Finished saving checkpoint to checkpoints/checkpoint_last.pt
mmengine - INFO - Saving checkpoint at 12 epochs
12/05 11:09:12 d2.checkpoint.c2_model_loading INFO: Saving checkpoint to ./output/model_0004999.pth
Writing state_dict to disk
[INFO] 2026-11-20 12:00:00,000 [callback.py:1010] step_end: ......Saving ckpt......
[INFO] ME(166:281473):2022-07-18-19:18:43 [train/serialization.py:220] Execute the process of saving checkpoint files.
Save checkpoint resnet50-90_625.ckpt
Checkpoint file resnet50-90_625.ckpt has been saved
INFO:tensorflow:Saving checkpoints for 1000 into /tmp/model/model.ckpt.
INFO:tensorflow:Calling checkpoint listeners before saving checkpoint 1000...
Saved checkpoint for step 1000: ./tf_ckpts/ckpt-10
Epoch 00012: saving model to weights.12.hdf5
Epoch 1: val_loss improved from inf to 0.31205, saving model to best.keras
W0718 write checkpoint shard 3 of 8
正在保存检查点到 /cache/ckpt/step_1000
开始保存模型权重
模型已保存至 /home/ma-user/modelarts/outputs/best.pth
第 10 轮训练结束，保存 checkpoint 成功
ckpt 文件保存完成，耗时 31 秒
检查点写入完成
"""
ONLY_SOUNDS_SO = """\
Loading checkpoint shards: 100%|██████████| 3/3 [00:09<00:00,  3.1s/it]
=> loaded checkpoint 'checkpoint.pth.tar' (epoch 12), saved 3 days ago
INFO:tensorflow:Restoring parameters from /tmp/model/model.ckpt-1000
Resuming from checkpoint saved at step 4000
Some weights of the model checkpoint were not used when initializing Bert
save_checkpoint_steps: 1000
--save-checkpoint /cache/ckpt --save-interval 1000
Namespace(save='/cache/ckpt', model='gpt')
Will save checkpoints every 1000 steps
Saving checkpoint every 1000 steps
checkpoint was not saved
Skip saving checkpoint: rank 3 is not the first of its group
`use_cache=True` is incompatible with gradient checkpointing. Setting `use_cache=False`
activation checkpointing saves memory of the model
Saving vocabulary to vocab.txt
saved 3 images to /out/samples
epoch 3 loss 0.31 model forward 12 ms
model: resnet50
storage: 12 GiB free
从检查点恢复训练
加载模型权重 /cache/ckpt/best.ckpt，上次保存于 3 天前
保存间隔: 每 1000 步保存一次检查点
本轮不保存模型
训练轮次 3 损失 0.31
"""


@pytest.mark.parametrize("line", SAVING.splitlines())
def test_a_line_about_saving_is_told(line: str) -> None:
    assert is_checkpoint_line(line)
    assert is_checkpoint_line(f"[1,0]<stdout>:2026-11-20 12:00:00,000 {line}")


@pytest.mark.parametrize("line", ONLY_SOUNDS_SO.splitlines())
def test_a_line_that_only_sounds_so_is_not(line: str) -> None:
    assert not is_checkpoint_line(line)


def test_the_search_finds_what_the_rule_takes() -> None:
    """The same pattern by RE2, over UTF-8 bytes, as the store searches."""
    for line in (SAVING + ONLY_SOUNDS_SO).splitlines():
        assert bool(re2.search(CHECKPOINT_PATTERN, line)) == bool(re.search(CHECKPOINT_PATTERN, line)), line


def test_a_long_line_is_looked_at_by_its_begin() -> None:
    assert is_checkpoint_line("saving checkpoint " + "1" * 100_000)
    assert not is_checkpoint_line("1" * 100_000 + " saving checkpoint")
