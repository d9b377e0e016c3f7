"""A process that, given a job, starts another that would outlive it, and tells its id."""

import json
import subprocess
import sys
import time

from rlclaims.execution.worker_process import receive

if __name__ == "__main__":
    _, _, answers = receive()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    for said in ({"child": child.pid}, {"iteration": 0}):
        print(json.dumps(said), file=answers, flush=True)
    time.sleep(60)
