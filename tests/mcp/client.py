"""Calls tools of `taskscope mcp` with the protocol's own client: PROGRAM SOCKET MODE CALLS.

CALLS is a JSON list of [name, arguments]. Prints one JSON object: the server, its tools, an answer or error for each call.
"""

import asyncio
import json
import sys

from mcp import MCPError
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

program, socket, mode, calls = sys.argv[1:]


async def answer(client, name, arguments):
    try:
        result = await client.call_tool(name, arguments)
    except MCPError as error:
        return {"refused": str(error)}
    text = result.content[0].text
    return {"failed": text} if result.is_error else {"text": json.loads(text), "answer": result.structured_content}


async def main():
    server = StdioServerParameters(command=program, args=["mcp", "--socket", socket])
    async with Client(stdio_client(server), mode=mode) as client:
        tools = (await client.list_tools()).tools
        # All at once: the server answers each when the daemon has answered.
        answers = await asyncio.gather(*(answer(client, *call) for call in json.loads(calls)))
        print(json.dumps({
            "server": client.server_info.name,
            "protocol": client.protocol_version,
            "tools": {tool.name: tool.model_dump(mode="json") for tool in tools},
            "answers": answers,
        }))


asyncio.run(main())
