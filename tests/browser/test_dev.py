"""Must show: the UI loads clean, shows the graph, a plot and a failed check's reason; the daemon materializes all again;
a run that was killed leaves the next one free to go."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adplatform.report.retraining import challenges
from adplatform.report.summary import write_report
from adplatform.settings import Settings
from adplatform.state import State
from tests.browser.dev import SCREENSHOTS, Dev, page, running
from tests.homes import REPOSITORY, adplatform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ALLOWED = (
    # Dagster's own, on every start of the pinned version.
    r"BetaWarning|PreviewWarning|SupersessionWarning",
    # dbt's closing line of a build without an error.
    r"^Done\. PASS=\d+ WARN=\d+ ERROR=0 ",
    # dagster-dbt logs a relationship test as an observation where the run holds one of its two models alone.
    r"Logging an `AssetObservation` instead of an `AssetCheckResult` for dbt test",
)
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"""
LAUNCH = """
mutation($job: String!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "adplatform", repositoryName: "__repository__", jobName: $job},
    runConfigData: {}, executionMetadata: {tags: $tags}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""


@pytest.fixture(scope="module")
def dev(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    import shutil

    folder = tmp_path_factory.mktemp("dev")
    shutil.copytree(demo_home, folder / "home", ignore=shutil.ignore_patterns("*.lock"))
    # The same data again: the challenger is the champion, so its verdict is a failed check with a reason.
    again = "key:response_model_challenger or key:response_model_champion or key:drift_report"
    ran = adplatform(folder / "home", "materialize", again)
    assert ran.code == 0, ran.err
    with running(folder / "home", folder / "dev.log") as found:
        yield found


def launch(dev: Dev, job: str, **tags: str) -> str:
    pairs = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
    answer = dev.query(LAUNCH, job=job, tags=pairs)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


def run(dev: Dev, run_id: str) -> tuple[str, dict[str, str]]:
    found = dev.query(RUN, id=run_id)["runOrError"]
    return found["status"], {t["key"]: t["value"] for t in found["tags"]}


def wait(dev: Dev, run_id: str, seconds: float = 900) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status, _ = run(dev, run_id)
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            return status
        time.sleep(1)
    return "TIMEOUT"


@pytest.mark.needs("chromium")
def test_the_graph_a_plot_and_a_failed_checks_reason_are_seen(dev: Dev) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    with page() as tab:
        tab.goto(f"{dev.url}/asset-groups")
        tab.get_by_text("orchestration").first.wait_for(timeout=60_000)
        tab.screenshot(path=SCREENSHOTS / "asset-groups.png")
        tab.goto(f"{dev.url}/locations/adplatform/asset-groups/targeting")
        tab.get_by_text("response_model_champion").first.wait_for(timeout=60_000)
        tab.wait_for_timeout(3000)  # the graph's layout moves after its text is there
        tab.screenshot(path=SCREENSHOTS / "asset-graph.png")

        tab.goto(f"{dev.url}/assets/response_model_challenger?view=overview")
        tab.get_by_text("reliability").first.wait_for(timeout=60_000)
        tab.get_by_text("Show Markdown").first.click()
        picture = tab.locator("img[alt=reliability]")
        picture.first.wait_for(timeout=30_000)
        assert picture.first.evaluate("image => image.naturalWidth") > 100
        tab.screenshot(path=SCREENSHOTS / "asset-with-plot.png")

        tab.goto(f"{dev.url}/assets/response_model_challenger?view=checks")
        tab.get_by_text(re.compile("the same model")).first.wait_for(timeout=60_000)
        tab.screenshot(path=SCREENSHOTS / "failed-check.png")


@pytest.mark.needs("chromium")
def test_the_drift_report_and_why_a_champion_was_kept_are_seen(dev: Dev) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    with page() as tab:
        tab.goto(f"{dev.url}/assets/drift_report?view=overview")
        tab.get_by_text("cost_of_retraining").first.wait_for(timeout=60_000)
        tab.screenshot(path=SCREENSHOTS / "drift-report.png")
        tab.get_by_text("Show Markdown").first.click()
        picture = tab.locator("img[alt=drift]")
        picture.first.wait_for(timeout=30_000)
        assert picture.first.evaluate("image => image.naturalWidth") > 100
        tab.screenshot(path=SCREENSHOTS / "drift-report-picture.png")

        rejected = next(
            c for c in challenges(State(Settings(home=dev.home))) if not c.passed and c.challenger != c.against
        )
        tab.goto(f"{dev.url}/assets/{rejected.agent}_champion?view=overview")
        tab.get_by_text(rejected.reason).first.wait_for(timeout=60_000)
        tab.screenshot(path=SCREENSHOTS / "kept-champion.png")


@pytest.mark.needs("chromium")
def test_the_report_shows_drift_and_retraining(dev: Dev) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    config = Settings(home=dev.home)
    path, _ = write_report(config, config.dataset, {}, [], [], datetime.now(UTC))
    with page(1100, 1000) as tab:
        tab.goto(path.as_uri())
        images = tab.locator("img")
        assert all(images.nth(i).evaluate("image => image.naturalWidth") > 100 for i in range(images.count()))
        for title in ("Drift", "Retraining"):
            heading = tab.get_by_role("heading", name=title)
            heading.evaluate("element => window.scrollTo(0, element.offsetTop - 10)")
            tab.screenshot(path=SCREENSHOTS / f"report-{title.lower()}.png")
        assert tab.get_by_alt_text("drift by day").is_visible()
        assert tab.get_by_role("row", name=re.compile("response_model.*the champion again")).is_visible()
        assert tab.get_by_text("rejected").first.is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_whole_rematerialization_through_the_daemon_ends_well(dev: Dev) -> None:
    import json

    dataset = json.loads((dev.home / "dataset.json").read_text())
    first, last = dataset["first_day"], dataset["last_day"]
    days = {"dagster__asset_partition_range_start": first, "dagster__asset_partition_range_end": last}
    runs = [
        ("land_snapshots", {}),
        ("land_days", days),
        ("build_behaviour", {}),
        ("run_agents", {}),
        ("plan_campaigns", {"dagster__partition": "c01"}),
    ]
    for job, tags in runs:
        assert wait(dev, launch(dev, job, **tags)) == "SUCCESS", job


def test_a_run_of_the_daemon_that_was_killed_leaves_the_next_one_free_within_a_minute(dev: Dev) -> None:
    victim = launch(dev, "run_agents")
    deadline = time.monotonic() + 120
    while "adplatform/process" not in (found := run(dev, victim))[1]:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    pid = int(found[1]["adplatform/process"].rsplit(":", 2)[1])
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    following = launch(dev, "land_snapshots")
    while run(dev, following)[0] not in {"STARTED", "SUCCESS"}:
        assert time.monotonic() - killed < 60, (run(dev, victim), run(dev, following))
        time.sleep(0.5)
    assert wait(dev, following) == "SUCCESS"
    assert wait(dev, victim, 60) == "FAILURE"


def test_a_command_that_was_killed_leaves_the_next_one_free_without_a_daemon(own_home: Path) -> None:
    env = {**os.environ, "ADPLATFORM_HOME": str(own_home)}
    command = [sys.executable, "-m", "adplatform.cli", "materialize", "key:lift_estimates"]
    process = subprocess.Popen(command, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until_started(own_home)
    process.send_signal(signal.SIGKILL)
    process.wait()
    started = time.monotonic()
    ran = adplatform(own_home, "materialize", "key:experiment_decisions")
    assert ran.code == 0, ran.err
    assert time.monotonic() - started < 60


def _until_started(home: Path) -> None:
    """Wait until Dagster's storage has a started run with a process tag."""
    import dagster as dg

    from adplatform.defs.runs import PROCESS_TAG

    deadline = time.monotonic() + 120
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        while time.monotonic() < deadline:
            found = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            if any(PROCESS_TAG in r.tags for r in found):
                return
            time.sleep(0.2)
    raise AssertionError("the command's run did not start")


def test_the_log_holds_nothing_but_what_is_dagsters_own(dev: Dev) -> None:
    lines = dev.log.read_text(errors="replace").splitlines()
    loud = [line for line in lines if re.search(r"WARNING|ERROR|Traceback|Warning:", line)]
    killed = [line for line in loud if re.search("its process was killed|was killed", line)]
    unknown = [line for line in loud if line not in killed and not any(re.search(a, line) for a in ALLOWED)]
    assert unknown == []
