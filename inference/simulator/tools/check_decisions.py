#!/usr/bin/env python3
"""Replays a decisions file and checks it against the rules of the machine, without a line of the simulator's code.

    check_decisions.py DECISIONS [--slots N] [--overlap] [--concurrency N] [--requests N]

Checks, GPU by GPU and job by job: time never goes back; nothing happens on a GPU that is not there; at most SLOTS bases
are resident, those that load counted; a base is loaded before it computes and never while it is resident; nothing is
evicted that is not resident or is in use; a load blocks compute (unless --overlap); at most N attempts at once, with
--overlap one more, and at most N compute at once; a job's
adapters are merged before it computes; each job computes to its end once; loads and computes last as long as they say.
Prints sums as one JSON object: they must equal what the simulator reports.
"""

import argparse
import json
import sys


class Gpu:
    def __init__(self):
        self.up = False
        self.clear()

    def clear(self):
        self.resident = {}  # base -> [ready, merged adapters]
        self.assigned = {}  # job -> base
        self.computing = {}  # job -> when it should end
        self.loading = None  # (base, adapter or None, when it should end)


class Broken(Exception):
    pass


def need(condition, line, why):
    if not condition:
        raise Broken(f"line {line['number']}: {why}: {line}")


class Replay:
    def __init__(self, slots, overlap, concurrency):
        self.slots, self.overlap, self.concurrency = slots, overlap, concurrency
        self.gpus, self.jobs, self.now = {}, {}, 0
        self.sums = {"base_loads": 0, "adapter_loads": 0, "evictions": 0, "done": 0, "busy_us": 0}
        self.waits = {}

    def take(self, line):
        need(line["t_us"] >= self.now, line, "time goes back")
        self.now = line["t_us"]
        gpu = self.gpus.setdefault(line["worker"], Gpu())
        if line["what"] not in ("join", "leave"):
            need(gpu.up, line, "the GPU is not there")
        getattr(self, "on_" + line["what"])(gpu, line)
        need(len(gpu.resident) <= self.slots, line, "more bases than slots")

    def on_join(self, gpu, line):
        gpu.up = True

    def on_leave(self, gpu, line):
        gpu.up = False
        gpu.clear()

    def on_assign(self, gpu, line):
        job = line["job"]
        need(line["t_us"] >= line["arrival_us"], line, "the job has not arrived")
        need(len(gpu.assigned) < self.concurrency + self.overlap, line, "the GPU is full")
        state = self.jobs.setdefault(job, {"done": False, "on": None})
        need(not state["done"], line, "the job is done")
        need(state["on"] is None, line, "the job is already assigned")
        state.update(on=line["worker"], arrival=line["arrival_us"], adapters=line.get("adapters", []), began=None)
        gpu.assigned[job] = line["model"]
        gpu.resident.setdefault(line["model"], [False, set()])

    def on_prefetch(self, gpu, line):
        need(line["model"] not in gpu.resident, line, "it is resident")
        need(self.overlap or not gpu.assigned, line, "the GPU is busy")
        gpu.resident[line["model"]] = [False, set()]

    def begins(self, line):
        state = self.jobs.get(line.get("job"))
        if state is not None and state.get("began") is None:
            state["began"] = line["t_us"]

    def free_to_load(self, gpu, line):
        need(gpu.loading is None, line, "two loads at once")
        need(self.overlap or not gpu.computing, line, "a load beside compute")

    def on_load(self, gpu, line):
        self.free_to_load(gpu, line)
        need(line["model"] in gpu.resident, line, "no room was taken for it")
        need(not gpu.resident[line["model"]][0], line, "it is resident")
        gpu.loading = (line["model"], None, line["t_us"] + line["lasts_us"])
        self.begins(line)
        self.sums["base_loads"] += 1
        self.sums["busy_us"] += line["lasts_us"]

    def on_load_adapter(self, gpu, line):
        self.free_to_load(gpu, line)
        need(gpu.resident.get(line["model"], [False])[0], line, "its base is not resident")
        need(line["adapter"] not in gpu.resident[line["model"]][1], line, "it is merged")
        gpu.loading = (line["model"], line["adapter"], line["t_us"] + line["lasts_us"])
        self.begins(line)
        self.sums["adapter_loads"] += 1
        self.sums["busy_us"] += line["lasts_us"]

    def on_loaded(self, gpu, line):
        need(gpu.loading is not None and gpu.loading[0] == line["model"], line, "that was not loading")
        base, adapter, ends = gpu.loading
        need(line["t_us"] == ends, line, "the load lasted otherwise")
        gpu.loading = None
        if adapter is None:
            gpu.resident[base][0] = True
        else:
            gpu.resident[base][1].add(adapter)

    def on_evict(self, gpu, line):
        model = line["model"]
        need(model in gpu.resident, line, "it is not resident")
        need(model not in gpu.assigned.values(), line, "it is in use")
        need(gpu.loading is None or gpu.loading[0] != model, line, "it loads")
        del gpu.resident[model]
        self.sums["evictions"] += 1

    def on_compute(self, gpu, line):
        job = line["job"]
        need(job in gpu.assigned and job not in gpu.computing, line, "it was not assigned here, or computes")
        need(self.overlap or gpu.loading is None, line, "compute beside a load")
        need(len(gpu.computing) < self.concurrency, line, "others compute")
        base = gpu.resident.get(gpu.assigned[job], [False, set()])
        need(base[0], line, "its base is not resident")
        wanted = self.jobs[job]["adapters"]
        need(set(wanted) <= base[1], line, "an adapter is missing")
        base[1] = set(wanted)
        gpu.computing[job] = line["t_us"] + line["lasts_us"]
        self.begins(line)
        self.sums["busy_us"] += line["lasts_us"]

    def on_done(self, gpu, line):
        job = line["job"]
        need(gpu.computing.get(job) == line["t_us"], line, "the compute lasted otherwise")
        del gpu.computing[job], gpu.assigned[job]
        state = self.jobs[job]
        state.update(done=True, on=None)
        self.waits[job] = state["began"] - state["arrival"]
        self.sums["done"] += 1

    def on_stop(self, gpu, line):
        job = line["job"]
        gpu.computing.pop(job, None)
        base = gpu.assigned.pop(job, None)
        self.jobs[job]["on"] = None
        if gpu.loading is not None and gpu.loading[0] == base and base not in gpu.assigned.values():
            gpu.loading = None  # the load that it waited for ends with it
        if base is not None and not gpu.resident[base][0] and base not in gpu.assigned.values():
            del gpu.resident[base]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decisions")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--requests", type=int, help="so many jobs must be done")
    args = parser.parse_args()
    replay = Replay(args.slots, args.overlap, args.concurrency)
    try:
        with open(args.decisions, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                line = json.loads(text)
                line["number"] = number
                replay.take(line)
        undone = [job for job, state in replay.jobs.items() if not state["done"]]
        if undone:
            raise Broken(f"{len(undone)} assigned jobs are not done, the first is {undone[0]}")
        if args.requests is not None and replay.sums["done"] != args.requests:
            raise Broken(f"{replay.sums['done']} jobs are done, not {args.requests}")
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    waits = sorted(replay.waits.values())
    rank = lambda share: waits[max(-(-int(share * 1000) * len(waits) // 1000), 1) - 1] / 1e6 if waits else 0.0
    replay.sums.update(wait_p50_s=round(rank(0.5), 4), wait_p99_s=round(rank(0.99), 4))
    replay.sums.update(wait_max_s=round(waits[-1] / 1e6, 4) if waits else 0.0)
    print(json.dumps(replay.sums))
    return 0


if __name__ == "__main__":
    sys.exit(main())
