"""What is wrong with a job's use of its cards: one rule a file, pure functions over readings."""
