"""A Ray cluster of several nodes on this machine, controlled by lines on standard input.

The first line of output is the cluster's address. `add CORES [NAME=VALUE ...]` adds a node and prints its number;
`remove NUMBER` kills one.
"""

import sys

from ray.cluster_utils import Cluster

SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    nodes = []
    print(cluster.address, file=answers, flush=True)
    for line in sys.stdin:
        command, first, *variables = line.split()
        if command == "add":
            env = dict(variable.split("=", 1) for variable in variables)
            nodes.append(cluster.add_node(num_cpus=int(first), env_vars=env, object_store_memory=80 * 2**20))
            print(len(nodes) - 1, file=answers, flush=True)
        else:
            cluster.remove_node(nodes[int(first)], allow_graceful=False)
            print("removed", file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
