"""A worker process that starts a child process that would outlive it, and reports its id."""

import json
import subprocess
import sys
import time

from rlclaims.execution.worker_process import receive

if __name__ == "__main__":
    _, _, answers = receive()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    for message in ({"child": child.pid}, {"iteration": 0}):
        print(json.dumps(message), file=answers, flush=True)
    time.sleep(60)
