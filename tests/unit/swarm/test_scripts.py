"""What the scripts of a Swarm make of its tasks; the Engine is a stand-in that tells what a file says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from portside import steps as compose_steps
from portside.swarm import steps
from tests.unit import builders
from tests.unit.test_markers import Machine

# A manager. Each line of the file `tasks` is one task: release|id|service|state|desired state|addresses|node|error.
ENGINE = """#!/bin/sh
echo "$@" >>"$HOME/asked"
case "$1 $2" in
"info --format") echo "26.1.5|true" ;;
"stack ps") cut -d '|' -f 2 "$HOME/tasks" ;;
"inspect --type") cat "$HOME/tasks" ;;
"service ls") case "$*" in *release=r1*) printf 'links-prod-blue_web\\nlinks-prod-blue_worker\\n' ;; esac ;;
"service logs") echo "the end of what it said" ;;
esac
"""
RUNNING = "r2|t1|web|running|running||n|\nr2|t2|web|running|running||n|\nr2|t3|worker|running|running||n|\n"
NEW = builders.release("r2")
OPERATION = builders.operation(
    slot="green", release="r2", previous="r1", previous_slot="blue", swarm="acts", route="blue"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    (made.home / "bin/docker").write_text(ENGINE)
    monkeypatch.setattr(steps, "FIT_SECONDS", 1.0)
    return made


def refused(machine: Machine, step: compose_steps.Step) -> tuple[int, str]:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        machine.run(step)
    return caught.value.returncode, caught.value.stderr


def retired() -> compose_steps.Step:
    target = compose_steps.Target(None, "links-prod", "1", builders.state(), OPERATION)  # type: ignore[arg-type]
    return steps.retire(target, NEW, keep_warm=False, prune={}, grace=1)


def test_what_stands_behind_is_scaled_away_once_all_of_the_new_release_runs(machine: Machine) -> None:
    (machine.home / "tasks").write_text(RUNNING)
    machine.run(retired())
    asked = (machine.home / "asked").read_text()
    assert "service scale --detach links-prod-blue_web=0" in asked
    assert (machine.home / ".portside/proxy/routes/links-prod/route").read_text() == "green\n"


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (RUNNING.replace("t2|web|running", "t2|web|starting"), "not fit to serve alone: 1 of 2 web containers run;"),
        (RUNNING.replace("t3|worker|running", "t3|worker|failed"), "0 of 1 worker containers run;"),
    ],
)
def test_what_stands_behind_goes_on_where_the_new_release_can_t_serve_alone(
    machine: Machine, tasks: str, said: str
) -> None:
    (machine.home / "tasks").write_text(tasks)
    code, told = refused(machine, retired())
    assert code == 77
    assert said in told
    assert "scale" not in (machine.home / "asked").read_text()
    assert not (machine.home / ".portside/proxy/routes/links-prod/route").exists()


def test_a_worker_is_told_nothing_of_the_swarm_and_asks_nobody(machine: Machine) -> None:
    (machine.home / "bin/docker").write_text(ENGINE.replace("26.1.5|true", "26.1.5|false"))
    machine.run(retired())
    assert "scale" not in (machine.home / "asked").read_text()
    assert (machine.home / ".portside/proxy/routes/links-prod/route").read_text() == "green\n"


@pytest.mark.parametrize(("state", "error", "said"), [("complete", "", "exited with code 0"), ("failed", "oom", "oom")])
def test_a_container_that_ends_while_it_is_watched_ends_the_release(
    machine: Machine, state: str, error: str, said: str
) -> None:
    (machine.home / "tasks").write_text(RUNNING)
    # What is over before it is watched is no news.
    (machine.home / "bin/docker").write_text(
        ENGINE.replace('cat "$HOME/tasks"', 'cat "$HOME/tasks"; mv "$HOME/later" "$HOME/tasks" 2>/dev/null || true')
    )
    (machine.home / "later").write_text(
        RUNNING.replace("t3|worker|running|running||n|", f"t3|worker|{state}|x||n|{error}")
    )
    code, told = refused(machine, steps.bake(OPERATION, NEW, 5))
    assert code == 75
    assert f"a container of worker ended: {said}" in told
    assert "the end of what it said" in told


NETWORKS = """#!/bin/sh
case "$1 $2" in
"network ls") printf 'ingress\\nlinks-prod\\nof-a-swarm-it-left\\n' ;;
"inspect --format") printf 'portside\\nlinks-prod\\n\\n' && echo "Error: No such object: agent" >&2 && exit 1 ;;
"network connect") echo "$3 $4" >>"$HOME/joined" ;;
esac
"""


@pytest.mark.parametrize(("engine", "joined"), [(NETWORKS, "links-prod proxy\n"), ("#!/bin/sh\n", "")])
def test_a_container_that_is_made_anew_joins_the_networks_of_the_swarm_that_it_was_on(
    machine: Machine, engine: str, joined: str
) -> None:
    (machine.home / "bin/docker").write_text(engine)
    script = Path(steps.__file__).parents[1] / "host/scripts/networks.sh"
    asked = f"set -euo pipefail; . {script}; remember_networks proxy agent; join_networks proxy"
    environment = {"HOME": str(machine.home), "PATH": f"{machine.home}/bin:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", asked], env=environment, check=True, timeout=30)
    found = machine.home / "joined"
    assert (found.read_text() if found.exists() else "") == joined
