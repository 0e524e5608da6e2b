"""The benchmark's arithmetic, its commands, and that what it counts is what happens."""

import json
import subprocess
import sys
from contextlib import nullcontext

import gymnasium
import pytest

from benchmarks.machine import machine
from benchmarks.throughput import peers
from benchmarks.throughput.__main__ import main
from benchmarks.throughput.environment import step_us
from benchmarks.throughput.measuring import (
    Findings,
    Series,
    Target,
    as_json,
    by_series,
    from_json,
    paired,
    spread,
)
from benchmarks.throughput.report import plot, text
from benchmarks.throughput.settings import Settings
from tests.fake_server import FakeServer

FINDINGS = Findings(
    [
        Series("ms", "kept", "turn", [1.0, 2.0], [[1.0, 3.0, 2.0], [4.0, 4.0, 5.0]]),
        Series("us each", "scorer", "", [0.0], [[7.0, 8.0, 9.0]]),
    ],
    [Target("growth", [1.0, 1.2, 9.0], 1.3, "most"), Target("speed", [1.0, 2.0, 3.0], 2.5, "least")],
    ["skipped: no such peer"],
)


def test_pairs_are_measured_in_turn_and_the_first_round_is_not_counted():
    calls = []

    def work(name):
        def one():
            calls.append(name)
            return float(len(calls))

        return one

    samples = paired({"a": work("a"), "b": work("b")}, 2, "")
    assert calls == ["a", "b"] * 3
    assert samples == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_targets_are_judged_by_the_median():
    assert [target.met for target in FINDINGS.targets] == [True, False]
    assert spread([3.0, 1.0, 2.0]) == "2.00 [1.00, 3.00]"


def test_findings_survive_their_file():
    assert from_json(json.loads(json.dumps(as_json(FINDINGS)))) == FINDINGS


def test_the_report_names_every_figure_and_what_missed(tmp_path):
    report = text("turns", FINDINGS)
    assert "MISSED: speed: 2.00 [1.00, 3.00], target >= 2.5" in report
    assert "met: growth" in report
    assert "4.00 [4.00, 5.00]" in report
    assert "skipped: no such peer" in report
    plot({"turns": FINDINGS}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_series_keep_the_order_of_places():
    [series] = by_series("ms", "turns", {("a", 4.0): [1.0], ("a", 10.0): [2.0]})
    assert series.at == [4.0, 10.0]
    assert series.samples == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--rounds", "0"], "rounds must be at least 1, got 0"),
        (["--faults", "1.5"], "faults must be shares from 0 to below 1"),
        (["--batches", "0"], "batches must all be at least 1"),
        (["--device", "cuda"], "torch finds no CUDA device"),
        (["--sections", "turning"], "turning"),
        (["--round", "3"], "--rounds"),
        (["--server", "tiny"], "server must be like http://HOST:PORT/v1#MODEL, got 'tiny'"),
        (["--server", "http://localhost:8000/v1"], "needs a model after '#'"),
    ],
)
def test_bad_flags_are_said_in_one_line(arguments, line, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_a_finished_section_is_not_measured_again(tmp_path, monkeypatch, capsys):
    measured = []

    def measure(settings):
        measured.append(settings.rounds)
        return FINDINGS

    monkeypatch.setattr("benchmarks.throughput.turns.measure", measure)
    command = ["--sections", "turns", "--out", str(tmp_path)]
    for extra in ([], [], ["--again"], ["--rounds", "3"]):
        assert main([*command, *extra]) == 0
    assert measured == [7, 7, 3]
    assert "is there already" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"turns.json", "throughput.png"}


def test_a_step_costs_something():
    assert 0.1 < step_us("new", 2, 2) < 1e6


def test_peers_that_are_not_there_are_named(tmp_path):
    with pytest.raises(peers.PeerError, match=r"skyrl-gym 0.4.0 is not installed"):
        peers.interpreter("skyrl-gym", tmp_path, install=False)


def test_gymnasium_is_probed_in_its_own_process():
    figures = peers.probe(peers.interpreter("gymnasium", peers.PROBE, True), "gymnasium", 2, (2, 3))
    assert len(figures) == 4
    assert all(us > 0 for us in figures.values())


def test_the_probe_imports_nothing_of_ours():
    code = f"import runpy, sys; runpy.run_path({str(peers.PROBE)!r}); print('dialogue_gym' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_servers_lose_nothing_without_a_reason():
    from benchmarks.throughput.servers import measure

    settings = Settings(rounds=1, clients=(2,), faults=(0.0, 0.2), latency=0.01)
    findings = measure(settings)
    assert [t.met for t in findings.targets if "without a reason" in t.name] == [True, True]
    assert findings.targets[2].name.startswith("share of the speed of the fault-free server at 20% faults")


def test_shares_of_faults_are_measured_in_turn(monkeypatch):
    from benchmarks.throughput import servers

    measured = []

    class Noted(servers.Run):
        def speed(self):
            measured.append((self.spec["base_url"], self.clients))
            self.lost.append(0.0)
            self.unexplained.append(0.0)
            return 1.0

    monkeypatch.setattr(servers, "Run", Noted)
    monkeypatch.setattr(servers, "_server", lambda share, latency: nullcontext(f"http://{share}/v1"))
    servers.measure(Settings(rounds=2, clients=(1, 2), faults=(0.0, 0.2)))
    assert measured == [(f"http://{share}/v1", clients) for share in (0.0, 0.2) for clients in (1, 2)] * 3


def test_peers_that_were_measured_are_named_with_their_versions(monkeypatch):
    from benchmarks.throughput import environment

    def probe(python, peer, rows, horizons):
        if peer == "textarena":
            raise peers.PeerError("textarena: no such thing")
        return {(peer, 5.0): 1.0}

    monkeypatch.setattr(environment, "interpreter", lambda peer, folder, install: sys.executable)
    monkeypatch.setattr(environment, "probe", probe)
    monkeypatch.setattr(environment, "step_us", lambda observe, horizon, rows: 1.0)
    notes = []
    environment._steps(Settings(rounds=1), notes)
    measured = f"measured beside gymnasium {gymnasium.__version__}, skyrl-gym 0.4.0, gem-llm 0.1.0"
    assert notes == ["skipped: textarena: no such thing", measured]


def test_the_machine_names_what_trains_and_what_talks_to_servers():
    assert {"peft", "openai"} <= {entry.split()[0] for entry in machine()["versions"].split(", ")}


def test_parts_of_an_update_add_up():
    from benchmarks.throughput.training import OF_ROLLOUT, OF_TRAINER, OUTSIDE, Timed

    timed, at = Timed("cpu"), [0.0]
    timed.now = lambda: at[0]

    def lasts(seconds):
        return lambda: at.__setitem__(0, at[0] + seconds)

    generate = timed.part("generation", lasts(5))
    parts = {"rollout": lambda: (generate(), lasts(1)()), "forward": lasts(2), "backward": lasts(1)}
    timed.end_of_update()
    for _ in range(4):
        for name, work in parts.items():
            timed.part(name, work)()
        lasts(1)()  # the trainer itself
        timed.end_of_update()
    assert timed.seconds["rollout, our rollout"] == [6.0, 6.0]
    [shares] = {tuple((part, samples[0]) for part, samples in timed.shares.items())}
    assert dict(shares) == {
        "generation": 0.5,
        "forward": 0.2,
        "backward": 0.1,
        OUTSIDE: 0.2,
        OF_ROLLOUT: 0.1,
        OF_TRAINER: 0.1,
    }


def test_a_real_server_is_compared_with_itself():
    from benchmarks.throughput.servers import measure

    with FakeServer(answer=lambda body: "How many are there?", latency_s=0.05) as server:
        findings = measure(Settings(rounds=1, clients=(1, 8), server=f"{server.base_url}#m"))
        asked = {call.body["model"] for call in server.calls}
    assert asked == {"m"}
    assert findings.series[0].name == "server of m"
    faster, lost = findings.targets
    assert faster.samples[0] > 2
    assert lost.met


def test_a_server_that_loses_every_dialogue_is_not_measured(tmp_path, capsys):
    with FakeServer(answer=lambda body: "?") as server:
        words = ["--sections", "servers", "--clients", "1", "--server", f"{server.base_url}#other"]
        assert main([*words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: every dialogue is lost, the first because of 'other' at")
    assert "404" in error


def test_turns_and_rollouts_are_measured_for_every_batch():
    from benchmarks.throughput import rollouts, turns

    settings = Settings(rounds=1, models=("tiny",), batches=(1, 2), turn_batches=(1,), horizon=2)
    assert [s.name for s in turns.measure(settings).series] == [
        "tiny, batch 1, cache kept",
        "tiny, batch 1, no cache",
    ]
    shares = rollouts.measure(settings).series[1]
    assert shares.at == [1.0, 2.0]
    assert all(0 < share < 1 for samples in shares.samples for share in samples)
