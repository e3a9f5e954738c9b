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


# `seen` has the networks of the Swarm that this node sees, `own` those that it alone has.
SEES = ENGINE.replace(
    '"service logs")',
    """"network ls") cat "$HOME/own" ;;
"network inspect") grep -qx "$3" "$HOME/seen" ;;
"service logs")""",
)


@pytest.mark.parametrize(
    ("seen", "own", "said"),
    [
        ("links-prod\n", "bridge\nlinks-prod\n", "remove it: docker network rm links-prod"),
        ("", "bridge\nlinks-prod\n", "remove it: docker network rm links-prod"),
        ("", "bridge\n", "in accessory_hosts of portside.toml"),
    ],
)
def test_no_accessory_is_started_beside_the_swarm_s_network(machine: Machine, seen: str, own: str, said: str) -> None:
    (machine.home / "bin/docker").write_text(SEES)
    (machine.home / "seen").write_text(seen)
    (machine.home / "own").write_text(own)
    code, told = refused(machine, compose_steps.accessories({}, "f", 5, swarm=True))
    assert (code, said in told) == (76, True)
    asked = (machine.home / "asked").read_text()
    assert "network create" not in asked and "compose" not in asked


def test_a_worker_that_is_to_have_accessories_is_told_to_leave_them_to_a_manager(machine: Machine) -> None:
    making = compose_steps.Step("accessories", "swarm_network", (), 5)
    (machine.home / "seen").write_text("")
    (machine.home / "bin/docker").write_text(SEES.replace("26.1.5|true", "26.1.5|false"))
    code, told = refused(machine, making)
    assert (code, "Name a manager (docker node ls) in accessory_hosts" in told) == (76, True)
    assert "network create" not in (machine.home / "asked").read_text()
    (machine.home / "bin/docker").write_text(SEES)
    machine.run(making)
    assert "network create --driver overlay --attachable" in (machine.home / "asked").read_text()


def test_a_host_s_own_network_of_the_site_s_name_is_not_what_its_proxy_joins(machine: Machine) -> None:
    (machine.home / "bin/docker").write_text(SEES)
    (machine.home / "tasks").write_text("no\n")
    (machine.home / "own").write_text("bridge\nlinks-prod-2\n")
    machine.run(steps.gate(OPERATION, NEW, 5))
    joined = (machine.home / "asked").read_text()
    assert "network connect links-prod portside-proxy-caddy-1" in joined
    (machine.home / "own").write_text("bridge\nlinks-prod\n")
    code, told = refused(machine, steps.gate(OPERATION, NEW, 5))
    assert (code, "docker network rm links-prod" in told) == (76, True)
    assert "network connect" not in (machine.home / "asked").read_text().removeprefix(joined)


@pytest.mark.parametrize(
    ("code", "words", "said"), [(124, "", "docker node update --availability active NODE"), (1, "no such network", "")]
)
def test_a_proxy_that_cannot_join_the_network_is_named_with_the_reason(
    machine: Machine, code: int, words: str, said: str
) -> None:
    connecting = f'"network connect") echo "{words}" >&2; exit {code} ;;\n"network ls")'
    (machine.home / "bin/docker").write_text(SEES.replace('"network ls")', connecting))
    (machine.home / "tasks").write_text("no\n")
    (machine.home / "own").write_text("")
    ended, told = refused(machine, steps.gate(OPERATION, NEW, 5))
    assert ended == 75
    assert f"portside-proxy-caddy-1 could not be connected to network links-prod: {words}" in told
    assert said in told


REJECTED = "r2|t0|web|rejected|shutdown||n|source path does not exist: /srv/list of things\n"


@pytest.mark.parametrize(("last", "ready"), [("running", True), ("starting", False)])
def test_what_one_node_rejected_holds_nothing_up_that_runs_on_another(machine: Machine, last: str, ready: bool) -> None:
    # Tasks that were there before a start are none of it.
    (machine.home / "bin/docker").write_text(
        ENGINE.replace('"stack ps")', '"stack deploy") cp "$HOME/started" "$HOME/tasks" ;;\n"stack ps")')
    )
    (machine.home / "tasks").write_text("")
    (machine.home / "started").write_text(REJECTED + RUNNING.replace("t2|web|running", f"t2|web|{last}"))
    target = compose_steps.Target(None, "links-prod", "1", builders.state(), OPERATION)  # type: ignore[arg-type]
    start = steps.start(target, NEW, 1)
    if ready:
        machine.run(start)
        return
    code, said = refused(machine, start)
    assert code == 75
    assert "not ready in time: web: source path does not exist: /srv/list of things; web: 1 of 2 run" in said


# The old worker is task t9: `old-worker` says its state, its node, and what the Swarm wants it to be.
HANDS_OVER = ENGINE.replace(
    '"inspect --type") cat "$HOME/tasks" ;;',
    """"inspect --type")
  case "$5 $6" in
  "{{.DesiredState}}"*) cut -d ' ' -f 3 "$HOME/old-worker" ;;
  "{{.Status.State}} {{.NodeID}} t9") cat "$HOME/old-worker" ;;
  *) cat "$HOME/tasks" ;;
  esac
  ;;""",
)
OLD_WORKER = "r1|t9|worker|running|running||n|\n"
HANDING = OPERATION.model_copy(update={"previous_stop_first": ("worker=1",), "stop_first": ("worker",), "grace": 0})


@pytest.fixture
def interrupted(machine: Machine) -> Machine:
    """Its hand-over ended while the old worker, task t9, was at its end."""
    (machine.home / "bin/docker").write_text(HANDS_OVER)
    (machine.home / "tasks").write_text(OLD_WORKER)
    (machine.home / "old-worker").write_text("running n remove\n")
    code, said = refused(machine, steps.handover(HANDING, NEW, 0))
    assert (code, "did not stop in time" in said) == (75, True)
    (machine.home / "tasks").write_text("")
    return machine


def withdrawn(seconds: float = 0) -> compose_steps.Step:
    step = steps.withdraw(HANDING, "why", grace=seconds)
    assert step is not None
    return step


def test_an_undo_brings_no_worker_back_while_the_one_that_was_handed_over_is_ending(interrupted: Machine) -> None:
    code, said = refused(interrupted, withdrawn())
    assert code == 75
    assert "a service of the release before did not stop in time, and must not run twice" in said
    (interrupted.home / "old-worker").write_text("shutdown n remove\n")
    interrupted.run(withdrawn())
    assert not (interrupted.site / "ending").exists()


def test_each_manager_waits_for_the_worker_that_ends_there_where_the_one_that_handed_over_is_gone(
    machine: Machine,
) -> None:
    # Of the release before, a web container and the worker run here.
    listing = """"ps --filter") case "$*" in *release=r1*) printf 'web t8\\nworker t9\\n' ;; esac ;;\n"stack ps")"""
    (machine.home / "bin/docker").write_text(HANDS_OVER.replace('"stack ps")', listing))
    (machine.home / "tasks").write_text("")
    (machine.home / "old-worker").write_text("running n remove\n")
    code, said = refused(machine, withdrawn())
    assert (code, "a service of the release before did not stop in time" in said) == (75, True)
    assert " t8" not in (machine.home / "asked").read_text(), "it may run twice"
    (machine.home / "old-worker").write_text("running n running\n")
    machine.run(withdrawn())


def test_a_worker_that_was_not_scaled_away_any_more_is_not_waited_for(interrupted: Machine) -> None:
    (interrupted.home / "old-worker").write_text("running n running\n")
    interrupted.run(withdrawn())


def test_what_a_power_cut_has_left_empty_ends_no_undo(interrupted: Machine) -> None:
    (interrupted.site / "ending").write_text("")
    interrupted.run(withdrawn())


def test_a_worker_that_has_ended_is_no_business_of_a_later_undo(machine: Machine) -> None:
    (machine.home / "bin/docker").write_text(HANDS_OVER)
    (machine.home / "tasks").write_text(OLD_WORKER + "r2|t3|worker|running|running||n|\n")
    (machine.home / "old-worker").write_text("shutdown n remove\n")
    machine.run(steps.handover(HANDING, NEW, 5))
    assert "scale --detach links-prod-blue_worker=0" in (machine.home / "asked").read_text()
    assert not (machine.site / "ending").exists()


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
