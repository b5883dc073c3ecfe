"""Runs `vzgym` with TRL's client of a vLLM server, except that weights are not sent: that needs GPUs (NCCL).

torchrun --nproc_per_node 2 through_server.py train grpo ...
"""

from __future__ import annotations

import pytest
from trl.generation.vllm_client import VLLMClient

from vzgym.cli import main

patch = pytest.MonkeyPatch()
patch.setattr(VLLMClient, "init_communicator", lambda self, **options: None)
patch.setattr(VLLMClient, "update_named_params", lambda self, *weights: None)
main()
