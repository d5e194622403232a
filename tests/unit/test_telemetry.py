import io
import json
import logging

import numpy as np
import pytest

from mpc_infer.errors import InvalidInput
from mpc_infer.telemetry import Log, configure

SECRET = b"\xde\xad\xbe\xef" * 8


@pytest.fixture
def stream():
    loggers = [logging.getLogger(name) for name in ("mpc_infer", "asyncio", "grpc", "concurrent.futures")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield io.StringIO()
    for logger, state in zip(loggers, before, strict=True):
        logger.handlers[:], logger.level, logger.propagate = state


def test_events_are_json_objects(stream):
    configure(as_json=True, stream=stream)
    Log("party").info("session done", rounds=21, online_ms=1.5, session=SECRET, lane=None, ok=True)
    event = json.loads(stream.getvalue())
    assert event["event"] == "session done"
    assert event["logger"] == "mpc_infer.party"
    assert event["level"] == "INFO"
    assert (event["rounds"], event["online_ms"], event["lane"], event["ok"]) == (21, 1.5, None, True)
    assert event["session"] == "deadbeef"


def test_events_are_readable_lines(stream):
    configure(stream=stream)
    Log("party").warning("slow", party=2)
    assert "WARNING mpc_infer.party: slow party=2" in stream.getvalue()


@pytest.mark.parametrize("as_json", [False, True])
def test_bytes_and_objects_are_never_written(stream, as_json):
    configure(as_json=as_json, stream=stream)
    Log("party").info("x", share=SECRET, job=SECRET, key=bytearray(SECRET), array=np.full(3, 3735928559), many=[SECRET])
    written = stream.getvalue()
    assert written.count("<redacted>") == 4
    assert SECRET.hex() not in written
    assert "3735928559" not in written
    assert written.count("deadbeef") == 1


def test_text_is_cut(stream):
    configure(as_json=True, stream=stream)
    Log("party").info("x", text="y" * 10_000)
    assert len(json.loads(stream.getvalue())["text"]) == 500


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_holds_one_event(stream, as_json):
    configure(as_json=as_json, stream=stream)
    Log("party").info("event", text="a\r\nERROR forged")
    assert "forged" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_levels_are_kept(stream):
    configure(level="WARNING", stream=stream)
    log = Log("party")
    log.debug("no")
    log.info("no")
    assert stream.getvalue() == ""
    configure(level="DEBUG", stream=stream)
    log.debug("yes")
    assert "yes" in stream.getvalue()


@pytest.mark.parametrize("as_json", [False, True])
def test_errors_come_with_types_and_frames_but_without_foreign_texts(stream, as_json):
    configure(as_json=as_json, stream=stream)
    cell = "31.41592 grams"
    try:
        try:
            float(cell)
        except ValueError as error:
            raise InvalidInput("row 3 is no number") from error
    except InvalidInput as error:
        Log("party").error("failed", exception=error)
    written = stream.getvalue()
    assert written.count("Traceback") == 2
    assert "test_telemetry.py" in written
    assert "ValueError" in written
    assert "InvalidInput: row 3 is no number" in written
    assert "31.41592" not in written
    assert not as_json or json.loads(written)["trace"]


def test_a_chain_of_causes_that_bites_its_tail_ends(stream):
    configure(stream=stream)
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    Log("party").error("failed", exception=first)
    assert stream.getvalue().count("Traceback") == 2


def test_libraries_report_without_their_texts(stream):
    configure(stream=stream)
    logging.getLogger("asyncio").error("Task exception was never retrieved: ValueError('31.41592')")
    assert "asyncio" in stream.getvalue()
    assert "31.41592" not in stream.getvalue()


def test_configuring_twice_does_not_double(stream):
    configure(stream=stream)
    configure(stream=stream)
    Log("party").info("once")
    assert stream.getvalue().count("once") == 1
