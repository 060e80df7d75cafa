"""Energy: every meter keeps the contract, no figure lacks its label, and no meter breaks the work."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laennec import family, grids, metering
from laennec.costs import LETTERS, Consumption, EnergyReading, Grid, letter
from laennec.errors import UnknownName, UsageError
from laennec.meters import Sampler, codecarbon, nvml, processor, rapl

METERS = family.names("meters")
GRID = Grid(place="FR", intensity=50.0, year=2023, source="a test")


def reading(**changes: Any) -> EnergyReading:
    values = {
        "meter": "processor",
        "kind": "modelled",
        "covers": "processor",
        "device": "threads",
        "method": "by hand",
        "error": 0.5,
        "joules": 3600.0,
        "seconds": 60.0,
    }
    return EnergyReading.model_validate(values | changes)


def measured(**changes: Any) -> EnergyReading:
    return reading(**({"meter": "rapl", "kind": "measured", "device": "packages", "error": 0.1} | changes))


def used(*readings: EnergyReading, grid: Grid = GRID) -> Consumption:
    return Consumption(readings=readings, grid=grid)


def spin(cpu: float) -> None:
    until = time.process_time() + cpu
    while time.process_time() < until:
        pass


# --- the family


@pytest.mark.parametrize("name", [name for name in METERS if name != "codecarbon"])
def test_every_meter_reads_under_its_own_name_or_says_why_not(name: str) -> None:
    member = family.member("meters", name)
    assert member.KIND in {"measured", "modelled"} and member.SLOW is False
    why = member.missing()
    if why:
        assert len(why) > 10
        return
    running = member.start()
    spin(0.05)
    readings = running.stop()
    assert readings
    for one in readings:
        assert (one.meter, one.kind) == (name, member.KIND)
        assert one.seconds > 0.04 and one.method and one.error > 0
    assert len({one.device for one in readings}) == len(readings)


def test_codecarbon_stays_quiet_sends_and_writes_nothing_and_labels_its_model(tmp_path: Path) -> None:
    if importlib.util.find_spec("codecarbon") is None:
        pytest.skip(reason="codecarbon is not installed; it is in the extra 'energy'")
    code = (
        "import socket\nfrom laennec.meters import codecarbon\nassert codecarbon.SLOW and not codecarbon.missing()\n"
        "def dial(*_): print('dialled')\n"
        "socket.socket.connect = socket.getaddrinfo = dial\n"
        "readings = codecarbon.start().stop()\n"
        "assert {r.covers for r in readings} >= {'processor', 'memory'}\n"
        "for r in readings:\n"
        "    assert r.meter == 'codecarbon' and r.seconds < 1.5, r\n"
        "    assert r.kind == 'modelled' or 'whole machine' in r.method or r.covers == 'gpu', r\n"
    )
    settings_of_its_own = {
        "CODECARBON_OUTPUT_METHODS": "csv,api",
        "CODECARBON_EMISSIONS_ENDPOINT": "http://192.0.2.1/",
        "CODECARBON_ELECTRICITYMAPS_API_TOKEN": "token",
        "CODECARBON_LOG_LEVEL": "debug",
    }
    environment = os.environ | settings_of_its_own
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""
    assert not list(tmp_path.iterdir())


def test_a_sampler_samples_once_more_at_the_end_and_tells_its_error() -> None:
    seen: list[int] = []
    Sampler(lambda: seen.append(1), 60).stop()
    assert seen == [1]

    def broken() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Sampler(broken, 60).stop()


# --- RAPL


def zone(root: Path, folder: str, name: str, microjoules: int, most: int = 1_000_000_000) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "max_energy_range_uj").write_text(f"{most}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path / "energy_uj"


def test_rapl_adds_packages_keeps_memory_apart_and_ignores_what_would_count_twice(tmp_path: Path) -> None:
    first, second = (zone(tmp_path, f"intel-rapl:{i}", f"package-{i}", 100 + 2_000_000 * i) for i in (0, 1))
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 0)
    others = [zone(tmp_path, "intel-rapl:0:0", "core", 0), zone(tmp_path, "intel-rapl:2", "psys", 0)]
    others.append(zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0))
    assert rapl.missing_under(tmp_path) == ""
    counters = rapl.Counters(tmp_path)
    for path, now in [(first, 3_000_100), (second, 6_000_100), (memory, 500_000), *((p, 9_000_000) for p in others)]:
        path.write_text(str(now))
    packages, dram = counters.stop()
    assert (packages.covers, packages.joules, packages.kind) == ("processor", pytest.approx(7.0), "measured")
    assert (dram.covers, dram.joules) == ("memory", pytest.approx(0.5))


def test_rapl_counts_on_through_wrap_arounds_that_its_samples_see(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 900, most=1000)
    counters = rapl.Counters(tmp_path)
    for now in (100, 900, 50):
        path.write_text(str(now))
        counters._sample()
    assert counters.stop()[0].joules == pytest.approx((200 + 800 + 150) / 1e6)


def test_rapl_counts_a_package_once_that_two_dies_show(tmp_path: Path) -> None:
    dies = [zone(tmp_path, f"intel-rapl:{i}", f"package-0-die-{i}", 5_000_000_000 + 300 * i, 10**11) for i in (0, 1)]
    counters = rapl.Counters(tmp_path)
    for path in dies:
        path.write_text("5004000000")
    assert counters.stop()[0].joules == pytest.approx(4.0)


def test_rapl_samples_often_enough_for_the_smallest_range_in_use() -> None:
    assert rapl.EVERY < 65_532 / 400 / 2


def test_rapl_leaves_out_a_device_of_which_a_counter_vanished(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    lost = zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    memory = zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    counters = rapl.Counters(tmp_path)
    lost.unlink()
    memory.write_text("2000000")
    assert [one.device for one in counters.stop()] == ["memory (DRAM)"]


def test_rapl_does_not_call_a_counter_that_never_moves_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 7)
    clock = iter([0.0, 0.25])
    monkeypatch.setattr(rapl, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert rapl.Counters(tmp_path).stop() == ()


def test_rapl_says_what_it_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no processor package" in rapl.missing_under(tmp_path / "none")
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "root alone" in rapl.missing_under(tmp_path)


# --- NVML


class Cards(ModuleType):
    """A driver's library with two cards: one counts millijoules, one only tells its power."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self, cards: int = 2) -> None:
        super().__init__("pynvml")
        self.cards, self.millijoules, self.open = cards, 1000, 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return self.cards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"Card"

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}abc"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if handle == 1:
            raise self.NVMLError("Not Supported")
        return self.millijoules

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 100_000


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    library = Cards()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return library


def test_nvml_reads_the_counter_and_falls_back_on_power(cards: Cards) -> None:
    assert nvml.missing() == ""
    running = nvml.start()
    time.sleep(0.15)
    cards.millijoules = 6000
    counted, sampled = running.stop()
    assert (counted.device, counted.covers, counted.joules) == ("GPU 0", "gpu", 5.0)
    assert sampled.device == "GPU 1" and sampled.joules == pytest.approx(100 * sampled.seconds, rel=0.1)
    assert counted.error < sampled.error and counted.kind == sampled.kind == "measured"
    assert cards.open == 0


def test_nvml_leaves_out_a_card_that_stops_answering(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    running = nvml.start()

    def lost(handle: int) -> int:
        raise cards.NVMLError("GPU is lost")

    monkeypatch.setattr(cards, "nvmlDeviceGetTotalEnergyConsumption", lost)
    assert running.stop() == () and cards.open == 0


@pytest.mark.parametrize(
    ("visible", "expected"), [("1", [1]), ("0,1", [0, 1]), ("GPU-1ab", [1]), ("", []), ("-1", []), ("7", [])]
)
def test_nvml_reads_the_cards_this_process_may_use(
    cards: Cards, monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[int]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [index for index, _ in nvml._cards(cards)] == expected
    assert bool(nvml.missing()) == (not expected)


def test_nvml_says_whether_library_driver_or_card_is_missing(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.cards = 0
    assert "no NVIDIA GPU" in nvml.missing()

    def no_driver() -> None:
        raise cards.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(cards, "nvmlInit", no_driver)
    assert "Driver Not Loaded" in nvml.missing()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "laennec[energy]" in nvml.missing()


# --- the model of the processor


@pytest.mark.parametrize(
    ("cpu", "wall", "gigabytes", "expected"),
    [(0, 0, 0, 0.0), (10, 10, 0, 40.0), (20, 10, 0, 80.0), (0, 100, 2, 78.4), (1, 2, 0.5, 4.392)],
)
def test_the_model_is_what_its_formula_says(cpu: float, wall: float, gigabytes: float, expected: float) -> None:
    assert processor.joules(cpu, wall, gigabytes) == pytest.approx(expected)


def test_the_model_counts_busy_time_and_not_sleep() -> None:
    running = processor.start()
    spin(0.2)
    time.sleep(0.2)
    threads = running.stop()[0]
    assert 0.8 <= threads.joules < 1.4
    assert threads.seconds >= 0.4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the time of a child that is alive")
def test_the_model_counts_children_alive_and_waited_for_once_each() -> None:
    code = "import sys, time\nwhile time.process_time() < .3: pass\nprint(flush=True)\nsys.stdin.read()"
    before, own = processor.cpu_seconds(), time.process_time()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    alive = processor.cpu_seconds() - before - (time.process_time() - own)
    child.communicate(b"")
    waited = processor.cpu_seconds() - before - (time.process_time() - own)
    assert 0.25 <= alive <= waited + 0.05 < 0.7


# --- meters at work


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Put members of one's own into the family; what happens to them is written into the returned list."""

    def put(**members: SimpleNamespace) -> list[str]:
        events: list[str] = []
        for name, member in members.items():
            member.name, member.events = name, events
        monkeypatch.setattr(family, "member", lambda kind, name: members[name])
        return events

    return put


def member(*readings: EnergyReading, slow: bool = False, why: str = "", fails: str = "") -> SimpleNamespace:
    made = SimpleNamespace(KIND="modelled", SLOW=slow, missing=lambda: why)

    def act(what: str) -> None:
        made.events.append(f"{what} {made.name}")
        if fails == what:
            raise RuntimeError(f"cannot {what}\nand more")

    def start() -> SimpleNamespace:
        act("start")
        return SimpleNamespace(stop=stop)

    def stop() -> tuple[EnergyReading, ...]:
        act("stop")
        return readings

    made.start = start
    return made


def test_measured_stands_before_modelled_and_the_best_of_each_component_is_quoted() -> None:
    gpus = [measured(meter="nvml", covers="gpu", device=f"GPU {i}", joules=1800.0) for i in (0, 1)]
    memory = reading(covers="memory", device="memory", joules=36.0)
    whole = used(measured(joules=7200.0), *gpus, reading(), memory)
    assert [r.device for r in whole.quoted] == ["packages", "GPU 0", "GPU 1", "memory"]
    assert whole.watt_hours == pytest.approx((7200 + 3600 + 36) / 3600)
    assert whole.grams == pytest.approx(whole.watt_hours * 50 / 1000)
    assert whole.kind == "measured and modelled" and used(reading()).kind == "modelled"
    assert whole.error == pytest.approx((10800 * 0.1 + 36 * 0.5) / 10836)


def test_slow_meters_start_first_and_stop_last(stand_in: Callable[..., list[str]]) -> None:
    late, quick = reading(meter="late", device="a"), measured(meter="quick", device="b")
    events = stand_in(quick=member(quick), late=member(late, slow=True))
    with metering.meter("FR", ["quick", "late"]) as metered:
        assert metered.consumption is None
    assert events == ["start late", "start quick", "stop quick", "stop late"]
    assert metered.consumption is not None
    assert metered.consumption.readings == (quick, late) and metered.consumption.grid == grids.grid("FR")
    assert metered.stop() is metered.consumption and len(events) == 4


@pytest.mark.parametrize("fails", ["start", "stop"])
def test_a_meter_that_fails_is_told_in_one_line_and_dropped(
    fails: str,
    stand_in: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LAENNEC_QUIET")
    stand_in(good=member(reading(meter="good")), bad=member(fails=fails), mute=member())
    with metering.meter(names=["good", "bad", "mute"]) as metered:
        pass
    assert metered.consumption is not None and [r.meter for r in metered.consumption.readings] == ["good"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and any(f"'bad' failed: cannot {fails};" in line for line in told)
    assert any("'mute' failed: it read nothing" in line for line in told)


def test_where_nothing_could_be_read_there_is_no_figure(stand_in: Callable[..., list[str]]) -> None:
    stand_in(bad=member(fails="start"))
    with metering.meter(names=["bad"]) as metered:
        pass
    assert metered.consumption is None


def test_what_failed_work_used_is_told_too(stand_in: Callable[..., list[str]]) -> None:
    stand_in(good=member(reading()))
    metered = metering.meter(names=["good"])
    with pytest.raises(KeyboardInterrupt), metered:
        raise KeyboardInterrupt
    assert metered.consumption is not None


def test_a_meter_asked_for_by_name_must_be_there(stand_in: Callable[..., list[str]]) -> None:
    with pytest.raises(UnknownName, match="no meter named 'rapel'"):
        metering.meter(names=["rapel"])
    stand_in(absent=member(why="no such counter"), rapl=member(why="-"), nvml=member(why="-"), processor=member())
    with pytest.raises(UsageError, match="'absent' cannot run here: no such counter"):
        metering.meter(names=["absent"])
    assert set(metering.meter()._members) == {"processor"}


# --- successive stretches


def test_stretches_add_up_by_meter_and_device() -> None:
    one, two = used(reading(error=0.2)), used(reading(joules=7200.0, error=0.5, seconds=40.0))
    whole = metering.combined([one, two]).readings[0]
    assert (whole.joules, whole.seconds) == (10800.0, 100.0)
    assert whole.error == pytest.approx(0.4)
    assert metering.combined([one]) == one
    with pytest.raises(ValueError, match="nothing to combine"):
        metering.combined([])


def test_a_meter_absent_from_a_stretch_is_left_out_and_said_so() -> None:
    whole = metering.combined([used(measured(), reading()), used(reading())])
    assert [r.meter for r in whole.readings] == ["processor"]
    assert "rapl left out, it read 1 of 2 stretches" in whole.readings[0].method


def test_a_gpu_that_one_stretch_had_is_not_forgotten() -> None:
    gpu = measured(meter="nvml", covers="gpu", device="GPU 0")
    whole = metering.combined([used(gpu, reading()), used(reading())])
    assert [r.meter for r in whole.readings] == ["nvml", "processor"]
    assert whole.watt_hours == pytest.approx(3.0)
    assert "read in 1 of 2 stretches" in whole.readings[0].method


def test_measured_here_and_modelled_there_is_modelled() -> None:
    one, two = measured(meter="codecarbon", device="cpu"), reading(meter="codecarbon", device="cpu")
    assert metering.combined([used(one), used(two)]).kind == "modelled"


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1000)), min_size=1, max_size=5))
def test_grams_of_the_whole_are_the_sum_of_the_parts(stretches: list[tuple[float, float]]) -> None:
    parts = [
        used(reading(joules=joules), grid=Grid(place=str(i), intensity=intensity, year=2023, source="a test"))
        for i, (joules, intensity) in enumerate(stretches)
    ]
    whole = metering.combined(parts)
    assert whole.watt_hours == pytest.approx(sum(part.watt_hours for part in parts))
    assert whole.grams == pytest.approx(sum(part.grams for part in parts))


# --- grids and letters


@pytest.mark.parametrize("name", grids.names())
def test_every_grid_has_intensity_year_and_source(name: str) -> None:
    found = grids.grid(name)
    assert 0 < found.intensity < 1500 and 2020 <= found.year <= 2026 and found.source
    assert grids.grid(name.swapcase()) == grids.grid(grids.title(name).upper()) == found


def test_the_union_lies_between_its_members_and_the_world_near_its_middle() -> None:
    assert grids.grid("SE").intensity < grids.grid("EU").intensity < grids.grid("PL").intensity
    assert grids.grid("EU").intensity < grids.grid("world").intensity
    assert grids.grid("uk") == grids.grid("GB")


def test_the_environment_chooses_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAENNEC_GRID", raising=False)
    assert grids.grid().place == "world"
    monkeypatch.setenv("LAENNEC_GRID", "no")
    assert grids.grid().place == metering.meter()._grid.place == "NO"
    monkeypatch.setenv("LAENNEC_GRID", "nowhere")
    with pytest.raises(UnknownName):
        grids.grid()


def test_an_unknown_grid_proposes_the_nearest() -> None:
    with pytest.raises(UnknownName) as told:
        grids.grid("Frnce")
    assert told.value.hint == "did you mean 'France'?"


@pytest.mark.parametrize(
    ("watt_hours", "expected"), [(0, "A"), (0.002, "A"), (0.0021, "B"), (0.032, "C"), (2.048, "F"), (2.05, "G")]
)
def test_letters_step_by_four(watt_hours: float, expected: str) -> None:
    assert letter(watt_hours) == expected


@settings(deadline=None)
@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_energy_is_never_a_better_letter(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert LETTERS.index(letter(low)) <= LETTERS.index(letter(high))


@pytest.mark.parametrize("nonsense", [-1.0, float("nan")])
def test_a_letter_needs_a_figure(nonsense: float) -> None:
    with pytest.raises(ValueError, match="energy cannot be"):
        letter(nonsense)


def test_the_page_on_energy_says_what_the_code_does() -> None:
    page = (Path(__file__).parents[1] / "docs" / "energy.md").read_text(encoding="utf-8")
    for name in METERS:
        assert f"\n### {name}\n" in page
    assert f"{processor.WATTS_PER_THREAD:g} W x processor seconds" in page
    assert f"{processor.WATTS_PER_GIGABYTE:g} W x gigabytes resident" in page
    for error in (0.15, 0.20, nvml.ERROR_COUNTED, nvml.ERROR_SAMPLED, processor.ERROR, codecarbon.ERROR, grids.ERROR):
        assert f"±{100 * error:.0f} %" in page
    limits = [0.002 * 4**step for step in range(len(LETTERS) - 1)]
    assert [letter(limit) for limit in limits] == list(LETTERS[:-1])
    assert " | ≤ ".join(f"{limit:g}" for limit in limits[1:]) in page
    assert f"{grids.grid('world').intensity:.0f}" in page and f"{grids.grid('EU').intensity:.0f}" in page
