"""Which lines of a log speak of saving a checkpoint: PyTorch, MindSpore, TensorFlow, Keras; English and Chinese."""

from __future__ import annotations

import re

_DOES = (
    r"\b(?:sav(?:e|es|ed|ing)|writ(?:e|es|ing|ten)|wrote|dump(?:s|ed|ing)?|stor(?:e|es|ed|ing)|serializ(?:ed|ing))\b"
)
_DONE = r"\b(?:sav(?:ed|ing)|written|wrote|dumped|stored|serialized)\b"
_WHAT = (
    r"(?:check-?points?|ckpts?|\bmodels?\b|\bweights?\b|state[ _-]?dicts?|optimizer states?"
    r"|\.(?:pt|pth|ckpt|safetensors|h5|hdf5|keras|pdparams)\b)"
)
_ZH_DOES = "(?:保存|存储|写入|写出|导出|存盘|落盘)"
_ZH_WHAT = "(?:检查点|断点|模型|权重|快照|check-?point|ckpt)"

# In the syntax of RE2, which the search takes; `is_checkpoint_line` then leaves out what only sounds so.
CHECKPOINT_PATTERN = (
    f"(?i){_DOES}.{{0,60}}?{_WHAT}|{_WHAT}.{{0,120}}?{_DONE}"
    f"|{_ZH_DOES}.{{0,20}}?{_ZH_WHAT}|{_ZH_WHAT}.{{0,120}}?{_ZH_DOES}"
)

# Loading, plans, options, and checkpoints of activations, which are no files.
_SOUNDS_SO = re.compile(
    r"\b(?:re)?load(?:ed|ing|s)?\b|\brestor(?:e|ed|ing)\b|\bresum(?:e|ed|ing)\b|\binitiali[sz](?:ed|ing)\b"
    r"|\b(?:will|would|can|should|could|may) (?:be |only )*save[ds]?\b|\bnot? (?:be(?:en)? )?sav(?:e|ed|ing)\b"
    r"|\bskip(?:s|ped|ping)?\b"
    r"|\bdisabled?\b|\bevery \d|\bper epoch\b|\bsave[-_]|-save\b|\bsave *[=:]|\bNamespace\("
    r"|\b(?:gradient|activation)s?[ _-]checkpoint|check-?pointing\b|\brecompute\b"
    r"|加载|载入|读取|恢复|不保存|未保存|无需保存|跳过|间隔|频率|每隔|每 *[0-9]",
    re.IGNORECASE,
)
_SAVES = re.compile(CHECKPOINT_PATTERN)
LOOKED_AT = 2000  # code points of a line; what saves says so at its begin


def is_checkpoint_line(text: str) -> bool:
    """Whether a line says that a checkpoint is being saved or has been."""
    text = text[:LOOKED_AT]
    return bool(_SAVES.search(text)) and not _SOUNDS_SO.search(text)
