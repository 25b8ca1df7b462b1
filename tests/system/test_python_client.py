"""The Python client against a real broker: asks, failures, pings, follows, subscriptions, another broker."""
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import modelyard
from modelyard import errors
from yard import ROOT, wait_for


def test_the_words_are_those_of_errors_def():
    with open(os.path.join(ROOT, "actors", "ground", "errors.def")) as file:
        words = re.findall(r'^ERROR \(\w+, "(\w+)"', file.read(), re.M)
    assert list(errors.WORDS) == words
    assert issubclass(modelyard.UnknownModel, modelyard.YardError) and issubclass(modelyard.Timeout, TimeoutError)
    assert type(errors.error("of_a_later_version", "x")) is modelyard.YardError


def test_without_a_yard_it_is_unreachable(tmp_path):
    with pytest.raises(modelyard.Unreachable, match="modelyard up"):
        modelyard.connect(str(tmp_path))


def test_the_run_directory_is_found_as_every_program_finds_it(yard, monkeypatch):
    yard.start("broker")
    monkeypatch.delenv("MODELYARD_RUN", raising=False)
    monkeypatch.setenv("MODELYARD_HOME", yard.home)
    with modelyard.connect() as client:
        assert client.ask("yard.version")["home"] == yard.home
    with modelyard.connect(home=yard.home) as client:
        client.ask("yard.ping")


def test_failures_are_exceptions_of_their_word(yard):
    yard.start("broker", "recorder")
    with modelyard.connect(yard.run) as client:
        with pytest.raises(modelyard.UnknownMethod):
            client.ask("record.paint")
        with pytest.raises(modelyard.UnknownModel) as failure:
            client.ask("record.get", {"key": "0" * 32})
        assert failure.value.code == "unknown_model" and failure.value.text
        with pytest.raises(modelyard.InvalidMessage, match="key"):
            client.ask("record.get", {"key": 7})
        with pytest.raises(modelyard.TooLarge):
            client.ask("record.get", {"key": "x" * (1 << 20)})
    with pytest.raises(modelyard.Gone):
        client.ask("yard.ping")


def test_an_ask_that_is_not_answered_times_out_and_the_connection_lives(yard):
    yard.start("broker", "recorder")
    with modelyard.connect(yard.run) as client:
        os.kill(yard.named["recorder"].pid, signal.SIGSTOP)
        try:
            with pytest.raises(modelyard.Timeout):
                client.ask("record.search", timeout=0.2)
        finally:
            os.kill(yard.named["recorder"].pid, signal.SIGCONT)
        assert client.ask("record.search")["records"] == []


def test_several_threads_may_ask_at_once(yard):
    yard.start("broker")
    with modelyard.connect(yard.run) as client:
        seen = []
        threads = [threading.Thread(target=lambda: seen.extend(client.ask("yard.ping")["epoch"] for _ in range(50)))
                   for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(seen) == 400 and len(set(seen)) == 1


def test_pings_are_answered_while_the_caller_computes(yard):
    yard.start("broker")
    with modelyard.connect(yard.run) as client:
        place = client.ask("yard.actors")["actors"][0]["place"]
        until = time.monotonic() + 7  # the broker gives a silent peer five seconds
        number = 0
        while time.monotonic() < until:
            number += 1  # pure Python, and never in a call of the client
        assert [row["place"] for row in client.ask("yard.actors")["actors"]] == [place]


def test_a_new_broker_is_greeted_and_asks_go_on(yard):
    yard.start("broker")
    with modelyard.connect(yard.run) as client:
        first = client.ask("yard.ping")["epoch"]
        follow = client.follow("actor_")
        yard.kill("broker")
        yard.processes.clear()
        yard.start("broker")

        def second():
            try:
                return client.ask("yard.ping", timeout=1)["epoch"]
            except (modelyard.Timeout, modelyard.Gone):
                return None
        assert wait_for(second, what="the new broker") != first
        with pytest.raises(modelyard.Gone):
            wait_for(lambda: follow.next(5), what="the end of the follow")
        wait_for(lambda: [row["actor"] for row in client.ask("yard.actors")["actors"]] == ["client"], what="a hello")


def test_a_subscription_hears_events_and_shows_gaps(yard):
    yard.start("broker", "recorder")
    with modelyard.connect(yard.run) as client, client.subscribe("model_record_", "yard_beat/") as subscription:
        assert next(subscription).name == "yard_beat"  # so it is attached
        config = {"key": "1" * 32, "name": "a", "type": "lora", "base": "sd-1", "format": "lycoris",
                  "path": "a.safetensors", "hash": ""}
        client.ask("record.add", {"config": config})
        for number in range(3):
            client.ask("record.update", {"key": config["key"], "changes": {"name": f"a{number}"}})
        events = [event for event in subscription_until(subscription, "model_record_updated", 3)]
        assert [event.subject for event in events] == [config["key"]] * 3
        assert not any(event.lost for event in events)
        subscription._last["model_record_updated"] -= 1  # as if the last one had not been heard
        client.ask("record.update", {"key": config["key"], "changes": {"name": "b"}})
        assert subscription_until(subscription, "model_record_updated", 1)[0].lost


def subscription_until(subscription, name, count):
    events = []
    deadline = time.monotonic() + 20
    while len(events) < count:
        assert time.monotonic() < deadline, f"only {len(events)} of {count} {name}"
        event = subscription.next(1)
        if event is not None and event.name == name:
            events.append(event)
    return events


def test_without_numpy_everything_but_load_works():
    script = ("import sys; sys.modules ['numpy'] = None; import modelyard\n"
              "try:\n    import modelyard.load\nexcept ImportError as cause:\n    print (cause)")
    done = subprocess.run(["/usr/bin/python3", "-c", script], env={"PYTHONPATH": os.path.join(ROOT, "proto", "python")},
                          capture_output=True, text=True, check=True)
    assert "python3-numpy" in done.stdout
