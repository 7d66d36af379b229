"""The collector: ships log files, byte for byte and once, from beside the training processes."""
