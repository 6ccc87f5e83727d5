# The child's half of ../sides/protocol.ts in Python: options on the command line, questions on stdin, answers on descriptor 3.
import json
import os
import sys
import time
import traceback


class Cannot(Exception):
    """The engine has no such feature, or not here."""


def serve(open_side):
    """`open_side(options)` answers an object with prefill(prompt) and decode(workload) -> (tokens per second, ids of the first row),
    or with train(question) of ../train/protocol.ts."""
    answers = os.fdopen(3, "w", buffering=1)

    def send(message):
        answers.write(json.dumps(message) + "\n")

    try:
        side = open_side(json.loads(sys.argv[1]))
        send({"kind": "ready"})
        for line in sys.stdin:
            send({"kind": "answer", "answer": answer(side, json.loads(line))})
    except Exception as error:
        traceback.print_exc()
        send({"kind": "failed", "message": f"{type(error).__name__}: {error}"})
    # Threads of an engine would otherwise keep the process.
    os._exit(0)


def answer(side, workload):
    try:
        if workload["kind"] == "train":
            return side.train(workload)
        if workload["kind"] == "prefill":
            tokens_per_second, ids = prefill(side, workload), []
        else:
            tokens_per_second, ids = side.decode(workload)
    except Cannot as reason:
        return {"kind": "cannot", "reason": str(reason)}
    return {"kind": "measured", "tokensPerSecond": tokens_per_second, "firstRowTokenIds": ids}


def prefill(side, workload):
    prompt, repeats = workload["prompt"], workload["repeats"]
    side.prefill(prompt)
    seconds = sum(timed(side.prefill, prompt) for _ in range(repeats))
    return len(prompt) * repeats / seconds


def timed(run, *arguments):
    started = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - started


def decode_by_difference(generate, workload):
    """For engines that only answer whole generations: the timed part is what a longer one takes over a shorter one.

    `generate(prompts, token_count)` answers the ids of every row.
    """
    prompts, short = workload["prompts"], 1 + workload["warmUpTokens"]
    long = short + workload["timedTokens"]
    # The first generation of a batch size may compile for it.
    generate(prompts, short)
    # One before and one after: their mean is what the longer one's beginning took, also where the machine changes its speed meanwhile.
    before = timed(generate, prompts, short)
    started = time.perf_counter()
    ids = generate(prompts, long)
    long_seconds = time.perf_counter() - started
    short_seconds = (before + timed(generate, prompts, short)) / 2
    if any(len(row) != long for row in ids):
        raise Cannot(f"rows of {sorted({len(row) for row in ids})} tokens came, {long} were asked for")
    return len(prompts) * workload["timedTokens"] / (long_seconds - short_seconds), list(ids[0])
