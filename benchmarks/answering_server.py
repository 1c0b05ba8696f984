"""A chat-completions server that costs next to nothing: one answer for all, after a fixed time.

Run as `python answering_server.py SECONDS`, it prints its port on 127.0.0.1.
"""

import asyncio
import json
import sys

TURN = {"speaker": "A", "text": "I really do not know what to say about that.", "emotion": "joy"}
CHOICE = {"message": {"content": json.dumps({"turns": [TURN] * 8})}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 300, "completion_tokens": 200}
BODY = json.dumps({"choices": [CHOICE], "usage": USAGE}).encode()
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
ANSWER = HEAD.format(len(BODY)).encode() + BODY


class Answering(asyncio.Protocol):
    """Answers every request of one connection, whatever it is."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._received = seconds, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer later, once the request is there as a whole."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) == int(head.lower().split(b"content-length:")[1].split()[0]):
            self._received = b""
            asyncio.get_running_loop().call_later(self._seconds, self._transport.write, ANSWER)


async def serve(seconds: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(seconds), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
