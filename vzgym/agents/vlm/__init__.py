"""Vision-language models as policies: checkpoints, processors, chat encoding."""
