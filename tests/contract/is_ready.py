"""Whether stats has counted some probes."""

import json
import sys
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as response:
        stats = json.load(response)["stats"]
except OSError:
    sys.exit(1)
sys.exit(len(stats) < 4 or min(entry["probes"] for entry in stats) < 2)
