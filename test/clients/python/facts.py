"""What the server under test answers, as ../python.test.ts says it. Knows no client."""

import json
import os

URL = os.environ["CLIENT_URL"]
HEADERS = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
ADAPTER = os.environ["CLIENT_ADAPTER"]
PROMPT = os.environ["CLIENT_PROMPT"]
# Greedy token ids by adapter, computed by PEFT; None is the base.
TOKENS = {
    None: json.loads(os.environ["CLIENT_BASE_TOKENS"]),
    ADAPTER: json.loads(os.environ["CLIENT_ADAPTER_TOKENS"]),
}
