"""The process in which a model of transformers writes: `python -m`, JSON lines on its pipes.

In: the options, then lists of requests. Out: {"ready": ...}, then {"completion": ...} for every
request, {"say": ...} at any time, and {"error": ...} at the end if the user has to mend something.
It ends when its input does, be it in the middle of its work: a parent that was killed leaves none.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from queue import SimpleQueue
from threading import Thread
from typing import Any

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Request


def _lines() -> Iterator[Any]:
    """Yield what comes in; the thread that reads sees at once that nothing comes any more."""
    arrived: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        with suppress(OSError):
            for line in sys.stdin.buffer:
                arrived.put(line)
        os._exit(0)

    Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(arrived.get())


def main() -> None:
    """Load the model, and write until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message

    def send(**message: Any) -> None:
        print(json.dumps(message), file=out, flush=True)

    lines = _lines()
    options = next(lines)
    try:
        from erc_kedro.llm.local.writer import Writer

        writer = Writer(options, say=lambda text: send(say=text))
        send(ready={"description": writer.description, "batch_size": writer.batches.size})
        for requests in lines:
            for completion in writer.write([Request.from_dict(values) for values in requests]):
                send(completion=asdict(completion))
    except UserError as error:
        send(error=str(error))


if __name__ == "__main__":
    main()
