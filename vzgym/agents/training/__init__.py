"""Training stages of a language model: perception pre-training, supervised fine-tuning, GRPO."""
