"""The corpus of hostile input, sent to a real service; and a little of the fuzz."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostile import check, fuzz, identity
from hostile.case import ANSWER, BARE, CLOSED, STATUS, Case
from hostile.cases import all_cases
from hostile.folders import ran
from hostile.requests import Wire, request
from hostile.sending import Memory, Reply, Service

SEED, SHARE = 1, 6
CASES = all_cases(SEED)
SENT = [case for case in CASES if case.way != "command"]
COMMANDS = [case for case in CASES if case.way == "command"]
DOCUMENTED = Path(__file__).parents[1] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def service(quantised: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip(reason="memory is measured by /proc, which this system lacks")
    with Service(quantised.path, tmp_path_factory.mktemp("service")) as running:
        yield running


def complaints(outcomes: list[check.Outcome]) -> list[str]:
    return [f"{one.case.name} ({one.case.way}): {'; '.join(one.faults)}" for one in outcomes if one.faults]


def test_the_corpus_is_large_named_once_and_every_family_is_there() -> None:
    assert len(CASES) >= 230
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    families = Counter(case.family for case in CASES)
    wanted = {"image structure", "bombs", "meaning", "DICOM structure", "DICOM meaning", "archives", "HTTP", "keys"}
    wanted |= {"model files", "recipes", "CSV", "identifying text"}
    assert wanted <= set(families) and min(families[name] for name in wanted) >= 20


def test_every_code_is_one_the_page_documents() -> None:
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \| (.+?) \|$", DOCUMENTED.read_text("utf-8"), re.MULTILINE)
    told = {code: statuses for statuses, codes in rows for code in re.findall(r"`([a-z_]+)`", codes)}
    for case in SENT:
        assert case.expects <= {*told, ANSWER, BARE, CLOSED}, case.name
    assert all(str(STATUS[code]) in told[code] for code in STATUS)


def test_the_same_seed_gives_the_same_bytes_and_another_deals_other_ways() -> None:
    again, other = all_cases(SEED), all_cases(SEED + 1)
    assert [case.way for case in again] == [case.way for case in CASES] != [case.way for case in other]
    for one, two in list(zip(CASES, again, strict=True))[:60:6]:
        assert one.make() == two.make()


def test_a_part_of_the_corpus_is_answered_as_it_should_be(service: Service) -> None:
    patient = [case for case in SENT if case.seconds > 20]
    part = [case for case in check.chosen(SENT, SHARE, SEED) if case not in patient and not _costly(case)]
    assert len(part) > 100
    assert complaints(check.check(part, service)) == []


def _costly(case: Case) -> bool:
    return case.family == "bombs"


@pytest.mark.slow
def test_the_whole_corpus_is_answered_as_it_should_be(quantised: Any, tmp_path: Path) -> None:
    with Service(quantised.path, tmp_path) as service:
        outcomes = check.check(SENT, service)
        assert complaints(outcomes) == []
    assert service.ended == 0
    assert check.planted(service, {"the log": service.log.read_bytes()}) == []


@pytest.mark.parametrize("family", ["model files", "recipes", "CSV"])
def test_files_of_strangers_are_refused_by_exit_code_in_two_lines(family: str, quantised: Any, tmp_path: Path) -> None:
    for number, case in enumerate(one for one in COMMANDS if one.family == family):
        folder, command = tmp_path / str(number), case.make()
        folder.mkdir()
        started = time.monotonic()
        found = ran(command, folder, quantised.path)
        assert str(found.code) in case.expects, f"{case.name}: {found}"
        assert command.says in found.said, f"{case.name}: {found.said}"
        assert "Traceback" not in found.said and "a fault of laennec" not in found.said, f"{case.name}: {found.said}"
        assert found.code == 0 or len(found.said) < 2000, case.name
        assert time.monotonic() - started < case.seconds, case.name
    assert not Path("/tmp/escaped.png").exists()  # noqa: S108


# The checker itself can fail


def test_a_wrong_code_status_time_or_memory_is_a_complaint(service: Service) -> None:
    case = next(one for one in SENT if one.name == "type: nothing")
    assert check.send(case, service).faults == ()
    wrong = Case(case.name, case.family, case.way, case.make, frozenset({"blank"}))
    assert "instead of blank" in check.send(wrong, service).faults[0]
    hurried = Case(case.name, case.family, case.way, case.make, case.expects, seconds=0.0)
    assert "instead of 0" in check.send(hurried, service).faults[0]
    thrifty = Case(case.name, case.family, case.way, case.make, case.expects, megabytes=-1)
    assert "MiB" in check.send(thrifty, service).faults[0]


def test_a_500_and_a_planted_name_are_complaints(service: Service, tmp_path: Path) -> None:
    case = next(one for one in SENT if one.way == "raw")
    assert any("500" in fault for fault in check._judged(case, Reply(500, {"x-request-id": "1"}, b"{}")))
    assert check.planted(service, {"the log": b"of " + identity.planted("name").encode()}) != []
    service.heard.append(identity.PLANTED.encode())
    assert check.planted(service, {}) != []
    service.heard.pop()
    (service.state / "note").write_text(identity.PLANTED)
    assert check.planted(service, {}) != []
    (service.state / "note").unlink()
    assert check.planted(service, {}) == []


def test_memory_that_grows_is_seen(service: Service) -> None:
    with Memory(service) as memory:
        service.send(Wire([request(body=b"\xff\xd8" + bytes(30 << 20))]))
    assert memory.grown > 10 << 20


# The fuzz


def test_mutants_are_the_same_for_the_same_seed() -> None:
    from hostile.mutants import mutant

    assert [mutant(1, n) for n in range(40)] == [mutant(1, n) for n in range(40)]
    assert len({mutant(1, n)[1] for n in range(40)}) > 35


def test_a_few_mutants_are_read_or_refused() -> None:
    told = Counter[str]()
    assert list(fuzz.here(3, range(250), told)) == []
    assert told["read"] > 20 and told["corrupt_image"] > 50


@pytest.mark.slow
def test_mutants_neither_crash_nor_hang_the_decoders() -> None:
    told = Counter[str]()
    assert list(fuzz.through_decoders(4, range(2000), told)) == []
    assert told.total() == 2000


@pytest.mark.slow
def test_mutants_neither_crash_nor_hang_the_service(quantised: Any, tmp_path: Path) -> None:
    with Service(quantised.path, tmp_path) as service:
        told = Counter[str]()
        assert list(fuzz.through_service(5, range(1000), told, service)) == []
    assert told[ANSWER] > 50 and service.ended == 0
