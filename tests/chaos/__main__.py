"""
Run the suite: `python -m tests.chaos --nodes 300 --seeds 10`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.airflow.processes import TimedOut
from tests.chaos.check import Ids, Verdict, check
from tests.chaos.endings import Ending, play_endings
from tests.chaos.monkey import Monkey, troubles_of
from tests.chaos.plans import project
from tests.chaos.story import DAG_ID, WARM
from tests.chaos.takeovers import starts_in, takeovers_of
from tests.chaos.world import World, start_world

FINISHED = ("success", "failed")


def say(text: str) -> None:
    """Tell how far it is."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def play(world: World, seed: int, nodes: int, *, lost: float, errors: float) -> Verdict:
    """Run the project once while everything goes wrong, and check what came of it."""
    everything, run_id = project(nodes), f"seed-{seed}"
    ids, verdict = Ids(run_id, everything, lambda: world.nonce(DAG_ID, run_id)), Verdict(seed, nodes)
    seen = {job["id"] for job in world.report()["jobs"]}
    began = time.time()
    world.faults(lost=lost, errors=errors)
    # Every other run goes ahead of Airflow.
    ahead = seed % 2 == 0
    world.wait("the run is accepted", lambda: world.trigger(DAG_ID, run_id, ahead=ahead) or True, 120)
    monkey = Monkey(world, run_id, ids.of_try)
    monkey.rage(troubles_of(seed, seconds=WARM + 40 + nodes / 2))
    try:
        world.wait(
            f"run {run_id} has ended",
            lambda: world.run_state(DAG_ID, run_id) in FINISHED and not world.running(),
            300 + 2 * nodes,
            every=1.0,
        )
    except TimedOut as error:
        verdict.disagreements.append(str(error))
    world.faults()
    verdict.seconds = time.time() - began
    report = world.report()
    report["jobs"] = [job for job in report["jobs"] if job["id"] not in seen]
    report["requests"] = [made for made in report["requests"] if made["at"] >= began]
    starts = list(starts_in(world.folder / "logs"))
    stored = world.outcomes(f"dbt/{DAG_ID}/plan/{run_id}/")
    check(
        verdict,
        nodes=everything,
        ahead=ahead,
        ids=ids,
        tasks=world.tasks(DAG_ID, run_id),
        report=report,
        outcomes={outcome["unique_id"]: outcome for outcome in stored.values()},
        story=monkey.story,
        starts=[start for start in starts if start.run_id == run_id],
        takeovers=takeovers_of(starts, run_id),
    )
    (world.folder.parent / f"seed-{seed}.json").write_text(
        json.dumps(
            {"events": monkey.story.events, "restarts": world.restarts, "verdict": asdict(verdict)}, indent=1
        )
    )
    return verdict


def table(verdicts: list[Verdict], endings: list[Ending]) -> str:
    """Return the report for a person."""
    lines = [
        "seed  nodes  seconds  tries   jobs  adopted  deaths  clicks  duplicates  orphans  unwatched  lost  disagree"
        "  click to cancel  takeover to resumption"
    ]
    for one in verdicts:
        resumed = (
            f"{statistics.median(one.resumptions):.1f} s (max {max(one.resumptions):.1f})"
            if one.resumptions
            else "-"
        )
        cancel = "-" if one.cancel_median is None else f"{one.cancel_median:.1f} s"
        lines.append(
            f"{one.seed:>4}  {one.nodes:>5}  {one.seconds:>7.0f}  {one.tries:>5}  {one.jobs:>5}  {one.adopted:>7}  "
            f"{one.deaths:>6}  {one.clicks:>6}  {len(one.duplicates):>10}  {len(one.orphans):>7}  "
            f"{len(one.unwatched):>9}  "
            f"{len(one.lost_outcomes):>4}  {len(one.disagreements):>8}  {cancel:>15}  {resumed:>22}"
        )
    lines += [f"{'ok ' if one.well else 'BAD'}  {one.name:<34} {one.text}" for one in endings]
    for one in verdicts:
        for kind in ("duplicates", "orphans", "unwatched", "lost_outcomes", "disagreements"):
            lines += [f"seed {one.seed}, {kind}: {each}" for each in getattr(one, kind)]
    return "\n".join(lines)


def main() -> None:
    """Run all seeds, print the table, write it as JSON; fail where an invariant does."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument(
        "--step",
        type=int,
        default=1,
        help="2 plays every other seed: those ahead of Airflow, from an even one on",
    )
    parser.add_argument("--lost", type=float, default=0.05, help="share of replies that are lost")
    parser.add_argument("--errors", type=float, default=0.05, help="share of requests answered with an error")
    parser.add_argument("--endings", choices=["yes", "no", "only"], default="yes")
    parser.add_argument("--ending", action="append", default=[], help="play only the endings of this name")
    parser.add_argument("--report", type=Path, default=Path("chaos.json"))
    parser.add_argument("--folder", type=Path, default=None, help="keep everything here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="cosmos-chaos-"))
    verdicts: list[Verdict] = []
    endings: list[Ending] = []
    with start_world(folder, nodes=options.nodes, seed=options.first_seed, say=say) as world:
        if options.endings != "no":
            endings = play_endings(world, options.ending)
        if options.endings != "only":
            last = options.first_seed + options.seeds * options.step
            for seed in range(options.first_seed, last, options.step):
                say(f"chaos: seed {seed}, {options.nodes} nodes")
                verdicts.append(play(world, seed, options.nodes, lost=options.lost, errors=options.errors))
                print(table(verdicts[-1:], []), flush=True)
    print(table(verdicts, endings), flush=True)
    document = {"seeds": [asdict(one) for one in verdicts], "endings": [asdict(one) for one in endings]}
    options.report.write_text(json.dumps(document, indent=1) + "\n")
    say(f"chaos: {options.report}; logs are in {folder}")
    medians = [one.cancel_median for one in verdicts if one.cancel_median is not None]
    slow = bool(medians) and statistics.median(medians) > 5
    if slow or not all(one.well for one in [*verdicts, *endings]):
        sys.exit(1)


if __name__ == "__main__":
    main()
