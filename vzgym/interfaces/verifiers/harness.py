"""The agent's program: one request for each turn, within the process."""

from __future__ import annotations

from typing import ClassVar, Final

import verifiers.v1 as vf
from openai import APIConnectionError, APIError, AsyncOpenAI, DefaultAsyncHttpxClient
from verifiers.v1.dialects.chat import message_to_wire
from verifiers.v1.errors import MODEL_TRANSPORT_ERROR_EXIT_CODE

__all__ = ["VideoZoomHarness"]

_FAILED: Final = 1


class VideoZoomHarness(vf.Harness[vf.HarnessConfig]):
    """Asks the model for the next turn of the dialogue. It starts no process, and needs neither `uv` nor a network."""

    APPENDS_SYSTEM_PROMPT: ClassVar[bool] = True
    SUPPORTS_RESUME: ClassVar[bool] = True
    EXECUTES_CODE: ClassVar[bool] = False
    NEEDS_CONTAINER: ClassVar[bool] = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        """Send the dialogue to the model. Its reply reaches the trace at `endpoint`."""
        system, prompt = self.resolve_prompt(data)
        messages = [vf.UserMessage(content=prompt)] if isinstance(prompt, str) else list(prompt or ())
        if system is not None:
            messages.insert(0, vf.SystemMessage(content=system))
        body = {"model": ctx.model, "messages": [message_to_wire(message) for message in messages]}
        # The endpoint is verifiers' own, on this machine: reading the certificates takes longer than the request.
        http = DefaultAsyncHttpxClient(verify=not endpoint.startswith("http://"))
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, timeout=None, http_client=http) as client:
            try:
                # Not `chat.completions.create`, which walks through all blocks of the dialogue.
                await client.post("/chat/completions", body=body, cast_to=object)
            except APIConnectionError as error:
                return vf.ProgramResult(MODEL_TRANSPORT_ERROR_EXIT_CODE, "", str(error))
            except APIError as error:
                # Also how verifiers ends a trace at a limit; it knows which.
                return vf.ProgramResult(_FAILED, "", str(error))
        return vf.ProgramResult(0, "", "")
