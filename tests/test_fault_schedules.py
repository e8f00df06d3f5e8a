"""Seeded failures of the reference catalog and of S3 with the real Collector: each acknowledged record is stored once.

`O2I_SCHEDULES` is the number of schedules (default 10), `O2I_SCHEDULE` one seed to replay. Most schedules run against
in-memory servers (`make faults`); these show that the real servers behave alike.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from faults.lake import assert_once, wait_until_stored
from o2i import numbered
from o2i.collector import Collector
from o2i.otlp import DOORS

SEEDS = [int(os.environ["O2I_SCHEDULE"])] if "O2I_SCHEDULE" in os.environ else range(int(os.environ.get("O2I_SCHEDULES", "10")))
WEATHERS = ("refusals", "light", "light", "heavy", "commits", "commits", "storage")


@pytest.mark.parametrize("seed", SEEDS)
def test_each_acknowledged_record_is_stored_once(seed, lake, tmp_path):
    draw = random.Random(seed)
    weather = draw.choice(WEATHERS)
    namespace = f"seed_{seed}"
    collectors = [tmp_path / f"collector{number}" for number in range(draw.randint(1, 2))]
    try:
        with lake.doors(tmp_path, weather, seed) as doors:
            running = []
            exporter = doors.settings(namespace)
            if seed % 2:
                exporter["compaction"] = {"interval": "1s", "min_files": 2}
            for folder in collectors:
                one = Collector(folder, {"iceberg": exporter}, queue_on_disk=True).start()
                running.append(one)
            sent = 0
            for _ in range(draw.randint(5, 15)):
                one = draw.choice(running)
                with one.client() as client:
                    client.send(numbered.request(range(sent, sent + 10)), draw.choice(DOORS))
                sent += 10
                time.sleep(draw.uniform(0, 0.3))
                if draw.random() < 0.1:
                    one.kill()
                    one.start()
            doors.end_faults()
            wait_until_stored(lake, namespace, map(str, range(sent)))
            for one in running:
                assert one.stop() == 0
            assert_once(lake, namespace, map(str, range(sent)))
    except Exception as failure:
        failure.add_note(f"weather {weather}; replay: O2I_SCHEDULE={seed} tests/run.sh test_fault_schedules.py")
        raise
